"""The page on a server with a model that runs in the background."""

import json
from pathlib import Path

from playwright.sync_api import expect

from drills.valkey import serving_valkey
from tests.browser.shell import run
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


def test_a_model_that_runs_in_the_background_shows_the_command_for_a_job(visit, tmp_path):
    """It stands first in the list, but what answers at once is chosen; no form is shown for it."""
    with (
        serving_valkey(tmp_path / "valkey") as broker,
        serve(tmp_path, app=LONG_APP, **settings(tmp_path, broker.url)) as server,
    ):
        tab = visit(server)
        expect(tab.page.locator("#models strong")).to_have_text(["paint as a job", "shade"])
        expect(tab.page.locator("#summary")).to_have_text("Light or dark.")
        tab.pick({"name": "white.png", "mimeType": "image/png", "buffer": picture()})
        expect(tab.page.locator("#result")).to_contain_text("light")
        tab.page.get_by_role("link", name="paint").click()
        expect(tab.page.locator("#summary")).to_have_text("A picture of words.")
        expect(tab.page.locator("#obstacle")).to_contain_text("cannot run paint yet")
        expect(tab.page.locator("#bench")).to_be_hidden()
        job = json.loads(run(tab.page.locator("#curl").inner_text(), tmp_path))
        assert job["model"] == "paint"
        assert job["params"]["prompt"] == "a cat"
        assert tab.watch.errors == []


def test_where_all_run_in_the_background_the_first_is_shown(visit, tmp_path):
    """A single model needs no list."""
    with (
        serving_valkey(tmp_path / "valkey") as broker,
        serve(tmp_path, app=LONG_APP, REVISION="long", **settings(tmp_path, broker.url)) as server,
    ):
        tab = visit(server)
        expect(tab.page.locator("#models")).to_be_hidden()
        expect(tab.page.locator("#obstacle")).to_contain_text("cannot run paint yet")
        expect(tab.page.locator("#curl")).to_contain_text("Prefer: respond-async")
