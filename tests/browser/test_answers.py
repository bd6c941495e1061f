"""Every kind of result: bars, boxes over the picture, pictures, and whatever else a model says."""

import io
import json
import re

from PIL import Image
from playwright.sync_api import expect

from tests.browser.conftest import RED, WHITE
from tests.browser.models_app import MODELS
from tests.photos import photo

STAGES = ["queue", "decode", "preprocess", "forward", "postprocess"]


def test_every_model_is_in_the_list_and_has_an_address(visit, kinds):
    """The address chooses the model, so that Back works; the last one is remembered."""
    tab = visit(kinds)
    models = tab.page.get_by_role("navigation", name="Models").get_by_role("link")
    names = [re.compile(f"^{model.name}") for model in MODELS]
    expect(models).to_have_text(names)
    expect(models.filter(has_text="paint")).to_have_accessible_name("paint as a job")
    current, heading = tab.page.locator("#models [aria-current]"), tab.page.locator("h1")
    expect(current).to_have_accessible_name("finder live")  # the first that finds things live
    models.filter(has_text="verdict").click()
    expect(heading).to_have_text("Tells spam from mail.")
    expect(tab.page).to_have_url(f"{kinds.url}/#verdict")
    tab.page.go_back()
    expect(heading).to_have_text("Finds faces and noses.")
    models.filter(has_text="noise").click()
    expect(heading).to_have_text("Makes noise.")
    tab.page.goto(kinds.url)
    expect(heading).to_have_text("Makes noise.")


def test_a_photo_shows_its_classes_best_first_and_where_the_time_went(visit, product):
    """What the README shows: bars with percentages, five stages and their total."""
    tab = visit(product, "/#classification")
    tab.pick(photo("chelsea"))
    expect(tab.page.locator(".ranking li")).to_have_count(5)
    expect(tab.page.locator(".ranking .label").first).to_have_text(re.compile(r"\bcat\b"))
    shares = tab.page.locator(".ranking .share").all_inner_texts()
    numbers = [float(share.removesuffix(" %").removeprefix("< ")) for share in shares]
    assert numbers == sorted(numbers, reverse=True)
    assert 0 < sum(numbers) <= 100.1
    fills = tab.page.locator(".ranking .bar i").evaluate_all(
        "fills => fills.map(fill => fill.style.getPropertyValue('--share'))"
    )
    assert abs(float(fills[0]) * 100 - numbers[0]) < 0.1
    assert tab.page.locator("#legend dt").all_inner_texts() == STAGES
    expect(tab.page.locator("#announcement")).to_have_text(re.compile("First of 5: .*cat, .* %"))
    tab.page.get_by_label("top_k", exact=True).fill("100")
    tab.page.get_by_label("top_k", exact=True).blur()
    expect(tab.page.locator(".ranking li")).to_have_count(100)
    tab.page.locator("#answer-body").focus()
    tab.page.keyboard.press("End")
    expect(tab.page.locator("#legend")).to_be_in_viewport()
    assert tab.watch.errors == []
    assert tab.watch.strangers(product.url) == []


def test_boxes_are_numbered_over_the_picture_without_a_second_prediction(visit, kinds):
    """In per cent of it; a row lights its box by mouse and keys. Save asks the server to draw."""
    tab = visit(kinds, "/#finder")
    tab.pick(RED)
    row = tab.page.locator("#result .row")
    expect(row).to_have_text(re.compile("1face30 . 20 at 15, 10 · nose98.8 %"))
    expect(tab.page.locator(".plate")).to_have_text("1 face 98.8 %")
    place = """([layer, node]) => {
      const [outer, inner] = [layer, node].map((it) => it.getBoundingClientRect());
      return [(inner.left - outer.left) / outer.width, (inner.top - outer.top) / outer.height,
        inner.width / outer.width, inner.height / outer.height];
    }"""
    layer = tab.page.locator(".layer").element_handle()
    box = tab.page.locator(".box").element_handle()
    found = tab.page.evaluate(place, [layer, box])
    assert all(
        abs(share - wanted) < 0.01
        for share, wanted in zip(found, [0.25, 0.25, 0.5, 0.5], strict=True)
    )
    expect(tab.page.locator(".dot")).to_have_count(1)
    expect(tab.page.locator("#announcement")).to_have_text("1 face; first 98.8 %.")
    assert len(tab.watch.predictions()) == 1
    row.hover()
    expect(tab.page.locator(".box")).to_have_class(re.compile(r"\blit\b"))
    tab.page.mouse.move(0, 0)
    expect(tab.page.locator(".box")).not_to_have_class(re.compile(r"\blit\b"))
    with tab.page.expect_download() as download:
        tab.press("Save")
    with Image.open(download.value.path()) as drawing, Image.open(io.BytesIO(RED["buffer"])) as red:
        assert drawing.size == red.size
        assert drawing.convert("RGB").tobytes() != red.tobytes()
    count = tab.page.get_by_label("count", exact=True)
    count.fill("120")
    count.blur()
    expect(row).to_have_count(120)
    expect(tab.page.locator(".box")).to_have_count(100)
    expect(tab.page.locator("#result > .hint")).to_have_text("20 more are not drawn.")
    row.first.focus()
    for _ in range(2):
        tab.page.keyboard.press("ArrowDown")
    expect(row.nth(2)).to_be_focused()
    expect(tab.page.locator(".box.lit .plate")).to_have_text("3 face 98.8 %")
    tab.pick(WHITE)
    expect(tab.page.locator("#result")).to_have_text("Nothing was found.")
    expect(tab.page.locator(".box")).to_have_count(0)
    expect(tab.page.locator("#announcement")).to_have_text("Nothing was found.")


def test_a_label_has_its_reasons_as_bars_to_both_sides(visit, kinds):
    """The words are written out."""
    tab = visit(kinds, "/#verdict")
    tab.page.locator("textarea").fill("hello win a prize")
    tab.press("Run")
    expect(tab.page.locator(".of-label li")).to_have_text(["spam92.4 %"])
    reasons = tab.page.locator(".of-reason li")
    expect(reasons).to_have_text(["prize+3.00", re.compile(r"hello.2\.00"), "win+1.50"])
    middle = "li => li.querySelector('.bar').getBoundingClientRect()"
    bars = reasons.evaluate_all(
        "items => items.map(item => { const [bar, fill] = [item.querySelector('.bar'), "
        "item.querySelector('i')].map(it => it.getBoundingClientRect()); "
        "return [fill.left - bar.left, fill.right - bar.left].map(x => x / bar.width); })"
    )
    assert middle
    assert [[round(x, 2) for x in bar] for bar in bars] == [[0.5, 1.0], [0.17, 0.5], [0.5, 0.75]]
    expect(tab.page.locator("#announcement")).to_have_text("spam, 92.4 %.")


def test_a_picture_is_compared_with_the_original_saved_and_used_as_input(visit, kinds):
    """What is transparent shows on a checkerboard and is saved as such; the slider has its keys."""
    tab = visit(kinds, "/#clip")
    tab.pick(RED)
    result = tab.page.locator("#result .compare > img").first
    expect(result).to_have_attribute("alt", "Picture by clip, red.png")
    ground = result.evaluate("image => getComputedStyle(image).backgroundImage")
    assert ground.startswith("repeating-conic-gradient")
    slider = tab.page.get_by_role("slider", name="Share of the original")
    clip = "() => getComputedStyle(document.querySelector('.original')).clipPath"
    assert "100%" in tab.page.evaluate(clip)
    slider.focus()
    tab.page.keyboard.press("End")
    assert tab.page.evaluate(clip) == "inset(0px 0% 0px 0px)"
    with tab.page.expect_download() as download:
        tab.press("Save")
    assert download.value.suggested_filename == "clip.png"
    with Image.open(download.value.path()) as saved:
        assert saved.getpixel((0, 0))[3] == 0
        assert saved.getpixel((30, 20)) == (255, 0, 0, 255)
    tab.press("Use as input")
    expect(result).to_have_attribute("alt", "Picture by clip, clip.png")


def test_any_other_result_is_names_and_values_and_every_answer_is_there_as_json(visit, kinds):
    """A list, an object, a null: all are readable; Copy copies all of it."""
    tab = visit(kinds, "/#measure", permissions=["clipboard-read", "clipboard-write"])
    tab.pick(RED)
    tab.pick(WHITE, "mask")
    values = tab.page.locator("#result dd")
    expect(values).to_contain_text(["image, mask", "width60", "60", "40"])
    tab.page.get_by_text("As JSON", exact=True).click()
    expected = {"names": ["image", "mask"], "mask": {"width": 60, "height": 40}}
    assert json.loads(tab.page.locator("#json-text").inner_text()) == expected
    tab.page.locator("#json-copy").click()
    expect(tab.page.locator("#json-copy")).to_have_text("Copied")
    assert json.loads(tab.page.evaluate("() => navigator.clipboard.readText()")) == expected


def test_an_answer_goes_with_its_model_and_a_picture_stays_for_the_next(visit, kinds):
    """A model without inputs runs at the press of a button; its picture names its parameters."""
    tab = visit(kinds, "/#finder")
    tab.pick(RED)
    expect(tab.page.locator("#result li")).to_have_count(1)
    tab.model("noise")
    expect(tab.page.locator("#result")).to_be_empty()
    expect(tab.page.locator("#timings")).to_be_hidden()
    tab.page.get_by_label("size", exact=True).fill("32")
    tab.press("Run")
    expect(tab.page.get_by_role("img", name="Picture by noise, size 32")).to_be_visible()
    expect(tab.page.locator("#result figcaption")).to_contain_text(re.compile("32 . 32 pixels"))
    tab.model("clip")
    expect(tab.page.locator(".compare")).to_be_visible()
