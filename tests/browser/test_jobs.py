"""Jobs on the page: submitted, followed, cancelled, failed, tried again, found after a reload."""

import re
import time

import pytest
from playwright.sync_api import expect

from project.db.engine import open_database
from tests.browser.conftest import RED, run
from tests.database import PROBLEM, Jobs, database_settings

OWNER = "the test"
LEASE = 600.0


@pytest.fixture
def worker(every_kind):
    """Change jobs as a worker does, by the names of JobTransitions."""
    settings = database_settings(every_kind.stack.database_url)

    async def call(name, *arguments):
        async with open_database(settings) as engine:
            return await getattr(Jobs.of(engine).transitions, name)(*arguments)

    return lambda name, *arguments: run(call(name, *arguments))


def submitted(tab, button="#run"):
    """Press the button; returns the id of the job."""
    with tab.page.expect_response(lambda it: it.request.method == "POST") as answer:
        tab.page.locator(button).click()
    assert answer.value.status == 202
    return answer.value.json()["id"]


def test_a_job_runs_to_its_picture_and_is_there_after_a_reload(visit, product):
    """Its progress is followed; the picture can be saved, and is the input of another model."""
    tab = visit(product, "/#text_to_image")
    submitted(tab)
    picture = tab.page.locator("#result img")
    expect(picture).to_have_attribute("alt", re.compile("Picture by text_to_image, prompt a fox"))
    expect(tab.page.locator("#legend dt").first).to_be_visible()
    item = tab.page.locator("#gallery li")
    expect(item.locator("img")).to_have_js_property("complete", value=True)
    assert item.locator("img").evaluate("image => image.naturalWidth") == 256
    with tab.page.expect_download() as download:
        item.get_by_role("link", name="Save").click()
    assert download.value.suggested_filename.endswith(".png")
    tab.page.reload()
    expect(item.locator("img")).to_be_visible()
    item.get_by_role("button", name="Use as input").click()
    expect(tab.page.locator("#models [aria-current]")).to_contain_text("classification")
    expect(tab.page.locator(".caption").first).to_contain_text("text_to_image.png")
    assert tab.watch.errors == []


def test_a_job_shows_its_progress_fails_with_a_reason_and_is_tried_again(visit, kinds, worker):
    """A bar without a value while it waits; then the share, the problem, and Try again."""
    tab = visit(kinds, "/#paint")
    job = submitted(tab)
    bar, item = tab.page.locator("#result progress"), tab.page.locator("#gallery li")
    expect(bar).to_have_js_property("position", value=-1)
    worker("claim", job, OWNER, time.time(), LEASE)
    worker("renew", job, OWNER, time.time(), LEASE, 0.4)
    expect(bar).to_have_js_property("value", value=0.4)
    expect(item).to_contain_text("40 %")
    worker("fail", job, OWNER, time.time(), PROBLEM)
    expect(tab.page.locator("#problem")).to_contain_text("it broke")
    expect(item).to_contain_text("✕ it broke")
    item.get_by_role("button", name="Try again").click()
    expect(item).to_contain_text("waits for a worker")
    expect(item.get_by_role("button", name="Cancel")).to_be_focused()
    item.get_by_role("button", name="Cancel").click()
    expect(item).to_contain_text("✕ cancelled")


def test_cancel_cancels_a_job_that_waits_and_one_that_runs(visit, kinds, worker):
    """From the answer; it says Cancelling… until the worker has heard of it."""
    tab = visit(kinds, "/#paint")
    submitted(tab)
    cancel = tab.page.locator("#cancel")
    cancel.click()
    expect(tab.page.locator("#problem h3")).to_have_text("Cancelled")
    job = submitted(tab)
    worker("claim", job, OWNER, time.time(), LEASE)
    expect(tab.page.locator("#gallery li").first).to_contain_text("0 %")
    cancel.click()
    expect(cancel).to_have_text("Cancelling…")
    expect(tab.page.locator("#gallery li").first).to_contain_text("Cancelling…")
    worker("finish_cancelled", job, OWNER, time.time())
    expect(tab.page.locator("#problem h3")).to_have_text("Cancelled")
    expect(cancel).not_to_be_visible()
    assert tab.watch.errors == []


def test_a_try_after_a_lost_answer_adds_no_second_job(visit, kinds):
    """It has the key of the first one; a job that the server has forgotten leaves the page."""
    tab = visit(kinds, "/#paint")
    keys = []

    def lose(route):
        keys.append(route.request.headers["idempotency-key"])
        route.fetch()  # the server has it
        route.abort("connectionreset")

    tab.page.route("**/jobs", lose, times=1)
    tab.press("Run as a job")
    expect(tab.page.locator("#problem")).to_contain_text("cut off")
    followed = []

    def follow(route):
        followed.append(route)

    tab.page.route("**/events", follow)
    tab.page.route("**/v1/jobs/*", lambda route: route.fulfill(status=404))
    with tab.page.expect_request("**/events"), tab.page.expect_response("**/jobs") as answer:
        tab.press("Try again")
    assert answer.value.request.headers["idempotency-key"] == keys[0]
    assert answer.value.headers["idempotency-replayed"] == "true"
    items = tab.page.locator("#gallery li")
    expect(items).to_have_count(1)
    followed[0].fulfill(status=404)
    expect(items).to_have_count(0)
    expect(tab.page.locator("#problem h3")).to_have_text("The server has this job no longer")
    expect(tab.page.locator("#result")).to_be_empty()
    expect(tab.page.locator("#cancel")).not_to_be_visible()


def test_any_model_runs_as_a_job_and_more_jobs_than_streams_are_followed(visit, kinds, worker):
    """Three have an event stream, as a browser has six connections; the others are looked at."""
    tab = visit(kinds, "/#finder")
    tab.pick(RED)
    expect(tab.page.locator("#result li")).to_have_count(1)
    jobs = [submitted(tab, "#as-job") for _ in range(4)]
    items = tab.page.locator("#gallery li")
    expect(items).to_have_count(4)
    with tab.page.expect_response(f"**/v1/jobs/{jobs[-1]}"):  # asked for, without a stream
        pass
    assert len({url for url in tab.watch.requests if url.endswith("/events")}) == 3
    for job in jobs:
        worker("claim", job, OWNER, time.time(), LEASE)
        worker("fail", job, OWNER, time.time(), PROBLEM)
    expect(items).to_contain_text(["it broke"] * 4)
