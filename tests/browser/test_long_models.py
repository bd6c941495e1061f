"""The page on a server that has models which predict nothing at once."""

from pathlib import Path

from playwright.sync_api import expect

from drills.valkey import serving_valkey
from tests.conftest import picture
from tests.services.server import serve

LONG_APP = "tests.services.long_app:app"


def settings(folder: Path, broker: str) -> dict[str, object]:
    return {
        "JOBS": "on",
        "REDIS_URL": broker,
        "DATABASE_URL": f"sqlite+aiosqlite:///{folder}/jobs.db",
        "STORAGE_URL": f"file:{folder}/storage",
        "WEB_CONCURRENCY": 1,
    }


def test_the_page_offers_what_predicts_at_once_alone(visit, tmp_path):
    """A model for jobs stands before it in the list, and is left out."""
    with (
        serving_valkey(tmp_path / "valkey") as broker,
        serve(tmp_path, app=LONG_APP, **settings(tmp_path, broker.url)) as server,
    ):
        seen = visit(server)
        expect(seen.page.locator("#summary")).to_have_text("Light or dark.")
        expect(seen.page.locator("#model option")).to_have_text(["shade"])
        seen.pick({"name": "white.png", "mimeType": "image/png", "buffer": picture()})
        expect(seen.page.locator("#result")).to_contain_text("light")
        assert seen.watch.errors == []


def test_where_nothing_predicts_at_once_the_page_says_so(browser, tmp_path):
    """And names what there is instead."""
    with (
        serving_valkey(tmp_path / "valkey") as broker,
        serve(tmp_path, app=LONG_APP, REVISION="long", **settings(tmp_path, broker.url)) as server,
    ):
        page = browser.new_page()
        page.goto(server.url)
        problem = page.locator("#problem")
        expect(problem).to_contain_text("No model here predicts at once")
        expect(problem).to_contain_text("blend")
        page.close()
