"""Every way to give the page a picture or a text, and what it says of each."""

import base64
import io
import re

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.conftest import BLACK, BLUE, RED, WHITE, png
from tests.browser.models_app import EXAMPLE, MAX_LENGTH

SIZE = re.compile("60 . 40 pixels")

# Hands files over as the browser would: by a drop on an element or from the clipboard.
HAND_OVER = """([way, selector, encoded]) => {
  const data = new DataTransfer();
  encoded.forEach((text, index) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    data.items.add(new File([bytes], `${index}.png`, { type: "image/png" }));
  });
  if (!encoded.length) data.setData("text/uri-list", "https://example.com/photo.jpg");
  const options = { bubbles: true, cancelable: true };
  const event = way === "drop"
    ? new DragEvent("drop", { ...options, dataTransfer: data })
    : new ClipboardEvent("paste", { ...options, clipboardData: data });
  document.querySelector(selector).dispatchEvent(event);
  return event.defaultPrevented;
}"""


def hand_over(tab, way, selector, *files):
    encoded = [base64.b64encode(file["buffer"]).decode() for file in files]
    return tab.page.evaluate(HAND_OVER, [way, selector, encoded])


def test_a_picture_comes_by_picker_drop_paste_or_sample_and_runs_by_itself(visit, kinds):
    """A drop anywhere counts, and the browser does not leave for the file."""
    tab = visit(kinds, "/#shade")
    first = tab.page.locator("#result dd").first
    tab.pick(WHITE)
    expect(first).to_have_text("light")
    expect(tab.page.locator(".caption")).to_have_text(re.compile(r"white\.png 60 . 40 pixels"))
    assert hand_over(tab, "drop", "main", BLACK)
    expect(first).to_have_text("dark")
    assert hand_over(tab, "paste", "body", WHITE)
    expect(first).to_have_text("light")
    assert not hand_over(tab, "paste", "body")  # no file: what a paste means is the browser's
    hand_over(tab, "drop", "main")
    expect(tab.page.locator(".caption")).to_have_text("That is an address: drop the file itself.")
    for _ in range(2):
        with tab.page.expect_response("**/predictions*"):
            tab.pick(BLACK)  # the same file may be chosen again
    other = visit(kinds, "/#shade")
    other.press("Use the sample chelsea")
    expect(other.page.locator("#result dd").first).to_have_text(re.compile("light|dark"))
    expect(other.page.locator("#input-image")).to_be_focused()  # what was pressed is gone
    assert tab.watch.errors == other.watch.errors == []
    assert tab.watch.strangers(kinds.url) == []


def test_two_pictures_have_a_zone_each_can_be_swapped_and_fill_in_order(visit, kinds):
    """The first alone sends nothing; what is left over of a drop is named."""
    tab = visit(kinds, "/#mix")
    expect(tab.page.locator(".zone > .hint")).to_have_text(
        ["content What is painted.", "style How it is painted."]
    )
    tab.pick(RED, "content")
    captions, result = tab.page.locator(".zone .caption"), tab.page.locator("#result figure > div")
    expect(captions).to_contain_text([SIZE, "None yet."])
    assert tab.watch.predictions() == []
    tab.pick(BLUE, "style")
    picture = result.get_by_role("img").first
    expect(picture).to_have_attribute("alt", "Picture by mix, red.png, blue.png")
    tab.press("Swap the two")
    expect(picture).to_have_attribute("alt", "Picture by mix, blue.png, red.png")
    expect(captions).to_contain_text([re.compile("30 . 30"), SIZE])
    hand_over(tab, "drop", "main", BLUE, RED, RED)
    expect(picture).to_have_attribute("alt", "Picture by mix, 0.png, 1.png")
    expect(captions.last).to_contain_text("took 2 of 3; for folders: python -m project predict")
    hand_over(tab, "drop", ".zone:nth-child(2)", png("", "green", (90, 10)))
    expect(captions).to_contain_text([re.compile("30 . 30"), re.compile("90 . 10 pixels")])
    assert tab.watch.errors == []


def test_an_optional_picture_can_be_removed_again(visit, kinds):
    """A required one cannot; the picture stays for the next model."""
    tab = visit(kinds, "/#measure")
    tab.pick(RED)
    names = tab.page.locator("#result dd").first
    expect(names).to_have_text("image")
    tab.pick(BLUE, "mask")
    expect(names).to_have_text("image, mask")
    expect(tab.page.get_by_role("button", name="Remove")).to_have_count(1)
    tab.press("Remove")
    expect(names).to_have_text("image")
    expect(tab.page.locator("#input-mask")).to_be_focused()
    tab.model("shade")
    expect(tab.page.locator(".caption")).to_contain_text("red.png")
    expect(tab.page.locator("#result dd").first).to_have_text("dark")


def test_a_photo_is_encoded_anew_only_where_the_server_would_refuse_it(visit, kinds):
    """By its size in bytes or its type; the caption says what is sent, and of what."""
    tab = visit(kinds, "/#measure")
    noise = Image.effect_noise((600, 600), 100)
    noise = Image.merge("RGB", [noise, noise.rotate(90), noise.rotate(180)])
    buffer = io.BytesIO()
    noise.save(buffer, "PNG", compress_level=0)
    large = {"name": "large.png", "mimeType": "image/png", "buffer": buffer.getvalue()}
    with tab.page.expect_response("**/predictions*") as answer:
        tab.pick(large)
    caption = tab.page.locator(".zone .caption").first
    expect(caption).to_contain_text(
        re.compile(r"large\.jpg sent as 600 . 600, .*the original is 600 . 600, 1\.1 MB")
    )
    assert answer.value.status == 200  # the original would be a 413
    svg = b"<svg xmlns='http://www.w3.org/2000/svg' width='20' height='10'/>"
    tab.pick({"name": "a.svg", "mimeType": "image/svg+xml", "buffer": svg})
    expect(caption).to_contain_text(re.compile(r"a\.jpg sent as 20 . 10"))
    expect(tab.page.locator("#result dd").first).to_have_text("image")
    tab.pick(RED)
    expect(caption).to_have_text(re.compile(r"red\.png 60 . 40 pixels, \d+ B"))


def test_a_text_is_counted_has_examples_and_runs_at_control_and_enter(visit, kinds):
    """Typing alone sends nothing; Enter alone begins a line, which is sent as one character."""
    tab = visit(kinds, "/#verdict")
    area, count = tab.page.locator("textarea"), tab.page.locator("#count-text")
    area.press_sequentially("hello prize")
    area.press("Enter")
    area.press_sequentially("x" * (MAX_LENGTH - 12))
    expect(count).to_have_text(f"{MAX_LENGTH} of {MAX_LENGTH} characters")
    assert tab.watch.predictions() == []
    area.press("Control+Enter")
    expect(tab.page.locator(".of-reason .against")).to_have_text(re.compile(r"^hello.2\.00$"))
    expect(area).to_be_focused()
    area.fill("x" * (MAX_LENGTH + 2))
    tab.press("Run")
    expect(area).to_have_attribute("aria-invalid", "true")
    assert area.evaluate("area => area.validationMessage") == "Leave out 2 characters."
    area.fill("")
    tab.press("Run")
    expect(area).to_be_focused()
    tab.press(EXAMPLE)
    expect(area).to_have_value(EXAMPLE)
    expect(tab.page.locator("#result .label").first).to_have_text("spam")
    assert len(tab.watch.predictions()) == 2


def test_a_picture_and_a_text_go_together_at_the_press_of_a_button(visit, kinds):
    """A text that is optional may be left empty; a label without a probability shows none."""
    tab = visit(kinds, "/#answerer")
    expect(tab.page.locator("label.hint")).to_have_text("question About the picture. Optional.")
    tab.press("Run")
    expect(tab.page.get_by_label("Choose a picture: image")).to_be_focused()
    tab.pick(RED)
    expect(tab.page.locator(".zone .caption")).to_contain_text(SIZE)
    assert tab.watch.predictions() == []
    tab.press("Run")
    expect(tab.page.locator("#result li")).to_have_text(["11 and 60"])
    tab.page.locator("textarea").fill("Why?")
    tab.press("Run")
    expect(tab.page.locator("#result li")).to_have_text(["4 and 60"])


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_a_picture_is_chosen_without_a_mouse(visit, kinds, key):
    """Enter and Space on the picker open the system's file dialogue."""
    tab = visit(kinds, "/#shade")
    picker = tab.page.get_by_label("Choose a picture")
    picker.focus()
    with tab.page.expect_file_chooser() as dialogue:
        tab.page.keyboard.press(key)
    dialogue.value.set_files([BLACK])
    expect(tab.page.locator("#result dd").first).to_have_text("dark")
    expect(picker).to_be_focused()
