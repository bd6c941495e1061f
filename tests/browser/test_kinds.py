"""Every kind of input and of result: texts, two pictures, none; labels, boxes, pictures."""

import base64
import io
import json
import re

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.models_app import EXAMPLE, MAX_LENGTH, MODELS
from tests.browser.shell import run
from tests.conftest import picture


def png(name, colour, size=(60, 40)):
    return {
        "name": name,
        "mimeType": "image/png",
        "buffer": picture(colour=colour, size=size),
    }


RED, BLUE = png("red.png", "red"), png("blue.png", "blue", (30, 30))
SIZE = re.compile("60 . 40 pixels")

# Drops files of these colours on the element.
DROP = """([selector, encoded]) => {
  const dataTransfer = new DataTransfer();
  encoded.forEach((text, index) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    dataTransfer.items.add(new File([bytes], `${index}.png`, { type: "image/png" }));
  });
  const options = { bubbles: true, cancelable: true, dataTransfer };
  document.querySelector(selector).dispatchEvent(new DragEvent("drop", options));
}"""


def drop(tab, selector, *files):
    encoded = [base64.b64encode(file["buffer"]).decode() for file in files]
    tab.page.evaluate(DROP, [selector, encoded])


def predictions(tab):
    return [url for url in tab.watch.requests if "/predictions" in url]


def test_every_model_is_in_the_list_with_its_summary_and_has_an_address(visit, every_kind):
    """The address chooses the model, so it can be bookmarked and Back works."""
    tab = visit(every_kind)
    models = tab.page.get_by_role("navigation", name="Models").get_by_role("link")
    expect(models).to_have_text([f"{model.name}{model.summary}" for model in MODELS])
    current = tab.page.locator("#models [aria-current=page] strong")
    expect(current).to_have_text("shade")
    models.filter(has_text="verdict").click()
    expect(tab.page.get_by_role("heading", level=1)).to_have_text("Tells spam from mail.")
    expect(tab.page).to_have_url(f"{every_kind.url}/#verdict")
    tab.page.go_back()
    expect(tab.page.get_by_role("heading", level=1)).to_have_text("Light or dark.")
    expect(current).to_have_text("shade")
    other = visit(every_kind, "/#noise")
    expect(other.page.get_by_role("heading", level=1)).to_have_text("Makes noise.")


def test_an_answer_goes_with_its_model_and_a_picture_stays_for_the_next(visit, every_kind):
    """Another model of one picture runs at once; one of texts shows nothing of the last answer."""
    tab = visit(every_kind)
    tab.pick(RED)
    expect(tab.page.locator("#result dd").first).to_have_text("dark")
    tab.page.get_by_role("link", name="verdict").click()
    expect(tab.page.locator("textarea")).to_be_visible()
    expect(tab.page.locator("#result")).to_be_empty()
    expect(tab.page.locator("#timings")).to_be_hidden()
    tab.page.get_by_role("link", name="clip").click()
    expect(tab.page.locator("#result img")).to_be_visible()
    expect(tab.page.locator(".input img")).to_be_visible()


def test_a_text_is_labelled_and_the_words_that_weighed_are_written_out(visit, every_kind):
    """The example runs at a press; probability, reasons and stages show."""
    tab = visit(every_kind, "/#verdict")
    expect(tab.page.locator("#curl")).to_contain_text(f"'text={EXAMPLE}'")
    tab.page.get_by_role("button", name=EXAMPLE).click()
    label, reasons = (tab.page.locator("#result .ranking").nth(n) for n in range(2))
    expect(label.locator("li")).to_have_text(["spam98.9 %"])
    expect(reasons.locator("li")).to_have_text(["prize+3.00", "Win+1.50"])
    expect(tab.page.get_by_label("text", exact=False)).to_have_value(EXAMPLE)
    expect(tab.page.locator("#announcement")).to_have_text("spam, 98.9 %.")
    expect(tab.page.locator("#legend dt")).to_contain_text(["queue", "forward"])
    assert tab.watch.errors == []
    assert len(predictions(tab)) == 1


def test_control_and_enter_run_a_text(visit, every_kind):
    """Typing alone sends nothing; Enter alone begins a line, which is sent as one character."""
    tab = visit(every_kind, "/#verdict")
    area = tab.page.locator("textarea")
    expect(tab.page.locator("#count-text")).to_have_text(f"0 of {MAX_LENGTH} characters")
    area.press_sequentially("hello prize")
    area.press("Enter")
    area.press_sequentially("x" * (MAX_LENGTH - 12))
    expect(tab.page.locator("#count-text")).to_have_text(f"{MAX_LENGTH} of {MAX_LENGTH} characters")
    assert predictions(tab) == []
    area.press("Control+Enter")
    against = tab.page.locator(".ranking .against")
    expect(against).to_have_text(re.compile(r"^hello.2\.00$"))
    expect(area).to_be_focused()


def test_a_text_that_is_missing_or_too_long_is_not_sent(visit, every_kind):
    """The field says how much too long it is, and has the focus."""
    tab = visit(every_kind, "/#verdict")
    area, button = tab.page.locator("textarea"), tab.page.get_by_role("button", name="Run")
    button.click()
    expect(area).to_be_focused()
    area.fill("x" * (MAX_LENGTH + 2))
    button.click()
    expect(area).to_have_attribute("aria-invalid", "true")
    message = area.evaluate("area => area.validationMessage")
    assert message == "Leave out 2 characters."
    area.fill("hello")
    button.click()
    expect(tab.page.locator("#result")).to_contain_text("mail")
    assert len(predictions(tab)) == 1


def test_a_parameter_of_a_text_model_waits_for_the_button(visit, every_kind):
    """Only models of pictures run by themselves."""
    tab = visit(every_kind, "/#verdict")
    tab.page.get_by_role("button", name=EXAMPLE).click()
    expect(tab.page.locator("#result")).to_contain_text("spam")
    tab.page.get_by_label("threshold").fill("0.999")
    tab.page.get_by_label("threshold").press("Enter")
    expect(tab.page.locator("#result .label").first).to_have_text("mail")
    expect(tab.page.locator("#curl")).to_contain_text("-F threshold=0.999")
    assert len(predictions(tab)) == 2


def test_two_pictures_have_a_zone_each_and_give_a_picture_to_save(visit, every_kind):
    """The first alone sends nothing; the answer has a text alternative and its file's size."""
    tab = visit(every_kind, "/#mix")
    expect(tab.page.locator(".input .hint")).to_have_text(
        ["content What is painted.", "style How it is painted."]
    )
    tab.pick(RED, "content")
    expect(tab.page.locator(".input .caption")).to_contain_text([SIZE, "None yet."])
    tab.pick(BLUE, "style")
    result = tab.page.get_by_role("img", name="Picture by mix, red.png, blue.png")
    expect(result).to_be_visible()
    expect(tab.page.locator("#result figcaption")).to_contain_text(SIZE)
    expect(tab.page.locator("#timings")).to_be_visible()
    expect(tab.page.locator("#json")).to_be_hidden()
    assert len(predictions(tab)) == 1
    with tab.page.expect_download() as download:
        tab.page.get_by_role("link", name="Save").click()
    assert download.value.suggested_filename == "mix.png"
    with Image.open(download.value.path()) as saved:
        assert saved.getpixel((0, 0)) == (127, 0, 127)
    assert tab.watch.errors == []


def test_pictures_that_are_dropped_fill_the_zones_in_order_or_the_zone_they_fall_on(
    visit, every_kind
):
    """Two dropped beside the zones are the first and the second; one on a zone replaces its own."""
    tab = visit(every_kind, "/#mix")
    drop(tab, "main", RED, BLUE)
    result = tab.page.locator("#result img")
    expect(result).to_have_attribute("alt", "Picture by mix, 0.png, 1.png")
    drop(tab, ".input:last-child", png("", "green", (90, 10)))
    captions = tab.page.locator(".input .caption")
    expect(captions).to_contain_text([SIZE, re.compile("90 . 10 pixels")])
    expect(result).to_have_attribute("alt", "Picture by mix, 0.png, 0.png")


def test_what_is_transparent_shows_on_a_checkerboard_and_is_saved_as_such(visit, every_kind):
    """The corner of the picture is clear."""
    tab = visit(every_kind, "/#clip")
    tab.pick(RED)
    result = tab.page.locator("#result img")
    expect(result).to_be_visible()
    ground = result.evaluate("image => getComputedStyle(image).backgroundImage")
    assert ground.startswith("repeating-conic-gradient")
    with tab.page.expect_download() as download:
        tab.page.get_by_role("link", name="Save").click()
    with Image.open(download.value.path()) as saved:
        assert saved.getpixel((0, 0))[3] == 0
        assert saved.getpixel((30, 20)) == (255, 0, 0, 255)


def test_a_problem_takes_the_place_of_a_picture(visit, every_kind):
    """Its detail says what to do; a smaller margin is drawn again."""
    tab = visit(every_kind, "/#clip")
    tab.pick(RED)
    expect(tab.page.locator("#result img")).to_be_visible()
    margin = tab.page.get_by_label("margin")
    margin.fill("0.5")
    margin.blur()
    expect(tab.page.locator("#problem")).to_contain_text("choose a smaller margin")
    expect(tab.page.locator("#result")).to_be_empty()
    margin.fill("0.2")
    margin.blur()
    expect(tab.page.locator("#result img")).to_have_attribute("alt", re.compile("margin 0.2"))
    expect(tab.page.locator("#problem")).to_be_empty()


def test_boxes_and_points_are_listed_and_drawn_on_the_picture(visit, every_kind):
    """The rows have all that the answer has; the drawing differs from what was sent."""
    tab = visit(every_kind, "/#finder")
    tab.pick(RED)
    rows = tab.page.locator("#result li")
    expect(rows).to_have_text(["face x1 15 y1 10 x2 45 y2 3098.8 %", "nose x 30 y 20 box 0"])
    expect(tab.page.locator("#announcement")).to_have_text("face, 98.8 %.")
    with tab.page.expect_download() as download:
        tab.page.get_by_role("link", name="Save").click()
    with Image.open(download.value.path()) as drawing, Image.open(io.BytesIO(RED["buffer"])) as red:
        assert drawing.size == red.size
        assert drawing.convert("RGB").tobytes() != red.tobytes()
    tab.page.get_by_text("As JSON").click()
    assert json.loads(tab.page.locator("#json-text").inner_text())["boxes"][0]["score"] == 0.9875


def test_a_picture_without_anything_in_it_says_so(visit, every_kind):
    """An empty list is an answer."""
    tab = visit(every_kind, "/#finder")
    tab.pick(png("white.png", "white"))
    expect(tab.page.locator("#result")).to_contain_text("Nothing was found.")
    expect(tab.page.locator("#announcement")).to_have_text("Nothing was found.")


def test_a_picture_and_a_text_go_together_at_the_press_of_a_button(visit, every_kind, tmp_path):
    """A text that is optional may be left empty; a label without a probability shows none."""
    tab = visit(every_kind, "/#answerer")
    button = tab.page.get_by_role("button", name="Run", exact=True)
    expect(tab.page.locator("label.hint")).to_have_text("question About the picture. Optional.")
    button.click()
    expect(tab.page.get_by_label("Choose a picture: image")).to_be_focused()
    tab.pick(RED)
    expect(tab.page.locator(".input .caption").first).to_contain_text(SIZE)
    assert predictions(tab) == []
    button.click()
    expect(tab.page.locator("#result li")).to_have_text(["11 and 60"])
    tab.page.locator("textarea").fill("Why?")
    button.click()
    expect(tab.page.locator("#result li")).to_have_text(["4 and 60"])
    (tmp_path / "red.png").write_bytes(RED["buffer"])
    printed = run(tab.page.locator("#curl").inner_text(), tmp_path)
    assert json.loads(printed)["label"] == "4 and 60"


def test_a_model_without_inputs_runs_at_the_press_of_a_button(visit, every_kind):
    """Its parameters are all that it needs."""
    tab = visit(every_kind, "/#noise")
    assert predictions(tab) == []
    tab.page.get_by_label("size").fill("32")
    tab.page.get_by_role("button", name="Run").click()
    expect(tab.page.get_by_role("img", name="Picture by noise, size 32")).to_be_visible()
    expect(tab.page.locator("#result figcaption")).to_contain_text(re.compile("32 . 32 pixels"))


def test_a_model_that_the_page_has_no_field_for_shows_its_command_alone(visit, every_kind):
    """A form that cannot be filled in would be a broken one."""
    tab = visit(every_kind, "/#tagged")
    expect(tab.page.locator("#obstacle")).to_contain_text("no field for tags")
    expect(tab.page.locator("#bench")).to_be_hidden()
    tab.page.get_by_role("link", name="noise").click()
    expect(tab.page.locator("#bench")).to_be_visible()
    expect(tab.page.locator("#obstacle")).to_be_hidden()


@pytest.mark.parametrize("model", [model.name for model in MODELS])
def test_the_command_of_every_model_runs_as_it_stands(visit, every_kind, tmp_path, model):
    """With files of the names that it shows, it prints JSON or saves a picture."""
    for name in ("photo.jpg", "content.jpg", "style.jpg"):
        (tmp_path / name).write_bytes(picture("JPEG"))
    command = visit(every_kind, f"/#{model}").page.locator("#curl").inner_text()
    printed = run(command, tmp_path)
    if "-o result.png" in command:
        with Image.open(tmp_path / "result.png") as saved:
            assert saved.format == "PNG"
    else:
        assert json.loads(printed)


@pytest.mark.parametrize("name", ["it's; $(rm).png", 'a "b", c.png', "-x.png", "é & @ü.png"])
@pytest.mark.parametrize("model", ["mix", "shade"])
def test_a_file_with_any_name_makes_a_command_that_is_safe_to_paste(
    visit, every_kind, tmp_path, model, name
):
    """A name is data: the shell and curl take it as one word, whatever it holds."""
    (tmp_path / name).write_bytes(RED["buffer"])
    tab = visit(every_kind, f"/#{model}")
    for part in ("content", "style") if model == "mix" else ("image",):
        tab.pick({**RED, "name": name}, part)
    expect(tab.page.locator("#result")).not_to_be_empty()
    run(tab.page.locator("#curl").inner_text(), tmp_path)


def test_a_text_of_any_kind_makes_a_command_that_is_safe_to_paste(visit, every_kind, tmp_path):
    """Not a file to read, not a second part, not a command."""
    tab = visit(every_kind, "/#verdict")
    tab.page.locator("textarea").fill("@x $(rm); 'it'\n\"w\" <y ; type=x hello")
    tab.page.get_by_role("button", name="Run").click()
    expect(tab.page.locator("#result .label").first).to_have_text("mail")
    shown = json.loads(tab.page.locator("#json-text").text_content())
    assert json.loads(run(tab.page.locator("#curl").text_content(), tmp_path)) == shown
