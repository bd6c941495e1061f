"""Sending a picture from the page: every way in, the answer, its timings, and what goes wrong."""

import base64
import re

import pytest
from playwright.sync_api import expect

from tests.conftest import picture
from tests.photos import photo
from tests.services.server import serve

STAGES = ["queue", "decode", "preprocess", "forward", "postprocess"]
PNG = {"name": "white.png", "mimeType": "image/png", "buffer": picture()}
DARK = {"name": "black.png", "mimeType": "image/png", "buffer": picture(colour="black")}
BROKEN = {"name": "broken.jpg", "mimeType": "image/jpeg", "buffer": b"not a picture at all"}

# Makes a File in the page and hands it over as the browser would: by a drop or from the clipboard.
HAND_OVER = """([way, name, encoded]) => {
  const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name, { type: "image/png" }));
  const options = { bubbles: true, cancelable: true };
  const event = way === "drop"
    ? new DragEvent("drop", { ...options, dataTransfer: data })
    : new ClipboardEvent("paste", { ...options, clipboardData: data });
  document.querySelector(way === "drop" ? "main" : "body").dispatchEvent(event);
  return event.defaultPrevented;
}"""


def hand_over(visit, way, path):
    encoded = base64.b64encode(path.read_bytes()).decode()
    return visit.page.evaluate(HAND_OVER, [way, path.name, encoded])


def expect_a_cat(page):
    expect(page.locator(".ranking li")).to_have_count(5)
    expect(page.locator(".ranking .label").first).to_have_text(re.compile(r"\bcat\b"))


def test_a_picked_photo_shows_its_classes_best_first_and_where_the_time_went(visit, product):
    """What the README shows: bars with percentages, five stages and their total."""
    tab = visit(product)
    tab.pick(photo("chelsea"))
    expect_a_cat(tab.page)
    shares = tab.page.locator(".ranking .share").all_inner_texts()
    numbers = [float(share.removesuffix(" %").removeprefix("< ")) for share in shares]
    assert numbers == sorted(numbers, reverse=True)
    assert 0 < sum(numbers) <= 100.1
    widths = tab.page.locator(".ranking .bar i").evaluate_all(
        "fills => fills.map(fill => 100 * fill.clientWidth / fill.parentElement.clientWidth)"
    )
    assert widths[0] == pytest.approx(numbers[0], abs=1)
    assert tab.page.locator("#legend dt").all_inner_texts() == STAGES
    parts = [
        float(text.removesuffix(" ms")) for text in tab.page.locator("#legend dd").all_inner_texts()
    ]
    total = float(tab.page.locator("#total strong").inner_text().removesuffix(" ms"))
    assert total == pytest.approx(sum(parts), abs=3)
    expect(tab.page.locator("#stack i")).to_have_count(5)
    expect(tab.page.locator(".input img")).to_be_visible()
    expect(tab.page.locator(".input .caption")).to_contain_text(re.compile("451 . 300 pixels"))
    expect(tab.page.locator("#announcement")).to_contain_text("cat")


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_a_photo_that_is_dropped_or_pasted_is_predicted_likewise(visit, product, way):
    """A drop anywhere on the page counts, and the browser does not leave for the file."""
    tab = visit(product)
    assert hand_over(tab, way, photo("chelsea"))
    expect_a_cat(tab.page)
    expect(tab.page.locator(".input img")).to_be_visible()


def test_nothing_leaves_the_origin_and_the_console_stays_quiet(visit, product):
    """The page works in a closed network, and under its own Content-Security-Policy."""
    tab = visit(product)
    tab.pick(photo("chelsea"))
    expect_a_cat(tab.page)
    expect(tab.page.locator("#rate svg path").first).to_be_attached()
    assert tab.watch.errors == []
    assert tab.watch.strangers(product.url) == []


def test_a_parameter_is_offered_with_its_bounds_and_sent(visit, product):
    """Fields come from the model's own schema; a change asks again."""
    tab = visit(product)
    field = tab.page.get_by_label("top_k")
    expect(field).to_have_value("5")
    assert (field.get_attribute("min"), field.get_attribute("max")) == ("1", "100")
    expect(tab.page.locator("#parameters .hint")).to_contain_text("How many classes")
    tab.pick(photo("chelsea"))
    expect_a_cat(tab.page)
    field.fill("3")
    field.blur()
    expect(tab.page.locator(".ranking li")).to_have_count(3)
    expect(tab.page.locator("#curl")).to_contain_text("?top_k=3")


def test_a_parameter_out_of_bounds_is_not_sent(visit, product):
    """The browser says what is wrong before the server has to."""
    tab = visit(product)
    field = tab.page.get_by_label("top_k")
    field.fill("1000")
    tab.pick(photo("chelsea"))
    assert field.evaluate("field => field.matches(':invalid')")
    field.fill("2")
    field.blur()
    expect(tab.page.locator(".ranking li")).to_have_count(2)
    sent = [url for url in tab.watch.requests if "/predictions" in url]
    assert len(sent) == 1


def test_a_broken_file_shows_the_problem_with_its_advice(visit, product):
    """Title, what to send instead, and the id under which the log knows it."""
    tab = visit(product)
    tab.pick(photo("chelsea"))
    expect_a_cat(tab.page)
    tab.pick(BROKEN)
    problem = tab.page.locator("#problem")
    expect(problem).to_contain_text("Invalid image")
    expect(problem).to_contain_text("send a JPEG, PNG")
    request_id = problem.locator("code").inner_text()
    assert any(record.get("request_id") == request_id for record in product.records())
    expect(tab.page.locator(".ranking")).to_have_count(0)
    expect(tab.page.locator("#timings")).to_be_hidden()
    tab.pick(photo("chelsea"))
    expect_a_cat(tab.page)
    expect(problem).to_be_empty()


def test_a_result_of_any_other_shape_is_shown_as_names_and_values(visit, quick):
    """The page knows no model in particular; what has no ranked labels is still readable."""
    tab = visit(quick)
    tab.pick(PNG)
    result = tab.page.locator("#result")
    expect(result.locator("dt")).to_have_text(["label", "brightness"])
    expect(result.locator("dd")).to_have_text(["light", "255"])
    expect(tab.page.locator("#timings")).to_be_visible()


def test_the_newest_picture_wins(visit, quick):
    """A picture that is overtaken is given up, and its answer never shows."""
    tab = visit(quick)
    tab.page.route("**/predictions*", lambda _: None, times=1)  # the first never arrives
    with tab.page.expect_request("**/predictions*"):
        tab.pick(PNG)
    expect(tab.page.locator("#answer")).to_have_attribute("aria-busy", "true")
    with tab.page.expect_event("requestfailed") as overtaken:
        tab.pick(DARK)
    assert "/predictions?" in overtaken.value.url
    expect(tab.page.locator("#result dd").first).to_have_text("dark")
    expect(tab.page.locator("#answer")).to_have_attribute("aria-busy", "false")
    expect(tab.page.locator("#problem")).to_be_empty()


def test_a_fault_of_the_model_shows_its_problem_and_may_be_tried_again(visit, quick):
    """A 500 is the model's, not the picture's: the same picture may go again."""
    tab = visit(quick)
    tab.page.get_by_label("fail").check()
    tab.pick(PNG)
    expect(tab.page.locator("#problem")).to_contain_text("Model failed")
    expect(tab.page.get_by_role("button", name="Try again")).to_be_visible()
    tab.page.get_by_label("fail").set_checked(checked=False)
    expect(tab.page.locator("#result dd").first).to_have_text("light")


def test_a_server_that_is_gone_has_its_own_message(visit, tmp_path):
    """Not an error of the picture: it is kept, and sent when asked again."""
    with serve(tmp_path, WEB_CONCURRENCY=1) as server:
        tab = visit(server)
        tab.page.context.set_offline(True)
        tab.pick(PNG)
        expect(tab.page.locator("#problem")).to_contain_text("No connection to the server")
        expect(tab.page.locator("#state")).to_have_text("No answer")
        tab.page.context.set_offline(False)
        tab.page.get_by_role("button", name="Try again").click()
        expect(tab.page.locator("#result dd").first).to_have_text("light")
        expect(tab.page.locator("#state")).to_have_text("Ready")


def test_a_picture_beyond_the_limit_says_so(visit, product):
    """Whether the 413 arrives or the connection breaks before, the advice is a smaller picture."""
    tab = visit(product)
    tab.pick({"name": "big.png", "mimeType": "image/png", "buffer": bytes(12 * 2**20)})
    expect(tab.page.locator("#problem")).to_contain_text(re.compile("smaller"))
    tab.page.route("**/predictions*", lambda route: route.abort("connectionreset"))
    tab.pick(photo("chelsea"))
    expect(tab.page.locator("#problem")).to_contain_text("The upload was cut off")
