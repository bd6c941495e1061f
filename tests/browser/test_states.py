"""What the page shows while it loads and runs, and when something goes wrong."""

import json
import re

from playwright.sync_api import expect

from tests.browser.conftest import BLACK, RED, WHITE

BROKEN = {"name": "broken.jpg", "mimeType": "image/jpeg", "buffer": b"not a picture at all"}


def test_an_invalid_picture_shows_the_problem_with_its_advice(visit, kinds):
    """Title, what to send instead, and the id under which the log knows it; then all is well."""
    tab = visit(kinds, "/#shade", permissions=["clipboard-read", "clipboard-write"])
    tab.pick(WHITE)
    expect(tab.page.locator("#result dd").first).to_have_text("light")
    tab.pick(BROKEN)
    problem = tab.page.get_by_role("alert")
    expect(problem).to_contain_text("Invalid image")
    expect(problem).to_contain_text("send a JPEG, PNG")
    request_id = problem.locator("code").inner_text()
    assert any(record.get("request_id") == request_id for record in kinds.records())
    tab.page.get_by_role("button", name="Copy the request's id").click()
    expect(problem).to_contain_text("Copied")
    assert tab.page.evaluate("() => navigator.clipboard.readText()") == request_id
    expect(tab.page.locator("#result")).to_be_empty()
    expect(tab.page.locator("#timings")).to_be_hidden()
    tab.pick(BLACK)
    expect(tab.page.locator("#result dd").first).to_have_text("dark")
    expect(problem).to_be_empty()


def test_a_fault_of_the_model_may_be_tried_again_and_the_focus_is_not_lost(visit, kinds):
    """A 500 is the model's, not the picture's: the same picture may go again."""
    tab = visit(kinds, "/#shade")
    tab.page.get_by_label("fail").check()
    tab.pick(WHITE)
    expect(tab.page.locator("#problem")).to_contain_text("Model failed")
    tab.page.get_by_label("fail").set_checked(checked=False)
    expect(tab.page.locator("#result dd").first).to_have_text("light")
    tab.page.get_by_label("fail").check()
    again = tab.page.get_by_role("button", name="Try again")
    again.focus()
    with tab.page.expect_response("**/predictions*"):
        tab.page.keyboard.press("Enter")
    expect(tab.page.locator("#answer-title")).to_be_focused()


def test_a_run_can_be_cancelled_and_the_newest_one_wins(visit, kinds):
    """The server sees the hang-up; what is overtaken or cancelled never shows."""
    tab = visit(kinds, "/#shade")
    cancel = tab.page.get_by_role("button", name="Cancel")
    expect(cancel).not_to_be_visible()
    tab.page.get_by_label("seconds", exact=True).fill("8")
    with tab.page.expect_event("requestfailed"):
        tab.pick(WHITE)
        expect(tab.page.locator("#answer")).to_have_attribute("aria-busy", "true")
        cancel.click()
    expect(tab.page.locator("#answer")).to_have_attribute("aria-busy", "false")
    expect(cancel).not_to_be_visible()
    expect(tab.page.locator("#run")).to_be_focused()
    expect(tab.page.locator("#problem")).to_be_empty()
    tab.page.route("**/predictions*", lambda _: None, times=1)  # the first never arrives
    with tab.page.expect_request("**/predictions*"):
        tab.page.get_by_label("seconds", exact=True).fill("0")
        tab.page.get_by_label("seconds", exact=True).blur()
    with tab.page.expect_event("requestfailed"):
        tab.pick(BLACK)
    expect(tab.page.locator("#result dd").first).to_have_text("dark")
    expect(tab.page.locator("#answer")).to_have_attribute("aria-busy", "false")


def test_a_server_that_is_gone_has_one_banner_and_nothing_is_lost(visit, kinds):
    """Said once; Try now finds it back, and so does the page by itself."""
    tab = visit(kinds, "/#shade")
    banner, state = tab.page.locator("#banner"), tab.page.locator("#state")
    expect(state).to_have_text("Ready")
    tab.page.context.set_offline(True)
    expect(state).to_have_text("No answer")
    expect(banner).to_contain_text(re.compile("does not answer. Next try in .* s. Your picture"))
    tab.pick(WHITE)
    expect(tab.page.locator("#problem")).to_contain_text("No connection to the server")
    tab.page.context.set_offline(False)
    expect(banner).to_have_text("The server answers again.")
    tab.page.get_by_role("button", name="Try again").click()
    expect(tab.page.locator("#result dd").first).to_have_text("light")
    expect(state).to_have_text("Ready")
    expect(banner).to_be_hidden()


def test_too_many_requests_hold_the_button_until_they_may_go_on(visit, kinds):
    """Run keeps the focus and counts down; then it works again."""
    tab = visit(kinds, "/#verdict")
    problem = {"title": "Too many requests", "detail": "10 of 10 used", "status": 429}
    refusal = {
        "status": 429,
        "headers": {"Retry-After": "2"},
        "content_type": "application/problem+json",
        "body": json.dumps(problem),
    }
    tab.page.route("**/predictions", lambda route: route.fulfill(**refusal), times=1)
    tab.page.locator("textarea").fill("hello")
    run = tab.page.locator("#run")
    run.focus()
    tab.page.keyboard.press("Enter")
    expect(tab.page.locator("#problem")).to_contain_text("10 of 10 used")
    expect(run).to_have_attribute("aria-disabled", "true")
    expect(run).to_be_focused()
    expect(tab.page.locator("#bar-note")).to_have_text(re.compile("^Again in [12] s.$"))
    expect(tab.page.locator("#bar-note")).to_be_empty()
    tab.page.keyboard.press("Enter")
    expect(tab.page.locator("#result .label").first).to_have_text("mail")


def test_an_upload_that_is_cut_off_advises_a_smaller_picture(visit, kinds):
    """The server lives, so it is the upload; an answer of another program is told as such."""
    tab = visit(kinds, "/#shade")
    tab.page.route("**/predictions*", lambda route: route.abort("connectionreset"), times=1)
    tab.pick(RED)
    expect(tab.page.locator("#problem")).to_contain_text("The upload was cut off")
    tab.page.route("**/predictions*", lambda route: route.fulfill(status=502, body="<h1>no</h1>"))
    tab.press("Run")
    expect(tab.page.locator("#problem")).to_contain_text("Unexpected answer, status 502")


def test_a_model_that_is_not_loaded_is_said_to_be_read_and_asked_for_again(visit, kinds):
    """And the pill names the check that fails."""
    tab = visit(kinds, "/docs")

    def unloaded(route):
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "loaded": False})

    checks = {"model:shade": {"ok": False}, "broker": {"ok": True}}
    body = json.dumps({"status": "not ready", "checks": checks})
    tab.page.route("**/ready", lambda route: route.fulfill(status=503, body=body))
    tab.page.route("**/v1/models/shade", unloaded, times=1)
    tab.open("/#shade")
    expect(tab.page.locator("#state")).to_have_text("Not ready: model:shade")
    expect(tab.page.locator("#facts")).to_contain_text("the weights are being read")
    expect(tab.page.locator("#facts")).not_to_contain_text("the weights are being read")
