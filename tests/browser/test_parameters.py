"""Parameters as fields: one of every kind that a schema can have, and their faults."""

import json
import re

from playwright.sync_api import expect

from tests.browser.conftest import RED
from tests.browser.shell import run


def echoed(tab):
    return json.loads(tab.page.locator("#json-text").text_content())["values"]


def test_every_kind_of_parameter_has_its_field_and_is_sent_as_it_stands(visit, kinds):
    """What is unset is not sent; a slider and its number are one."""
    tab = visit(kinds, "/#knobbed")
    page = tab.page
    tab.press("Run")
    expect(page.locator("#json-text")).to_contain_text("ratio")
    sent = {"ratio": 0.5, "count": 7, "even": 2, "mode": "fast", "size": "m", "flag": False}
    assert echoed(tab) == sent | {"name": "a", "tags": ["red"]}
    assert page.get_by_role("slider").evaluate_all("all => all.map(one => one.ariaLabel)") == [
        "ratio, slider",
        "even, slider",
        "strength, slider",
    ]
    ratio = page.get_by_label("ratio", exact=True)
    page.get_by_label("ratio, slider").fill("0.8")
    expect(ratio).to_have_value("0.8")
    ratio.fill("0.123")  # finer than the slider's steps
    page.get_by_label("count").fill("99999")
    page.get_by_label("even, slider").press("ArrowRight")
    page.get_by_label("seed").fill(str(2**53 - 1))
    page.get_by_label("Set strength").check()
    page.get_by_label("strength", exact=True).fill("7.5")
    page.get_by_role("radio", name="best").check()
    page.get_by_label("size").select_option("xl")
    page.get_by_label("flag").check()
    page.get_by_role("button", name="cat").click()
    page.get_by_label("note").fill("two\nlines")
    page.get_by_role("checkbox", name="blue").check()
    page.get_by_label("words").fill("one\n\n two \n")
    tab.press("Run")
    expect(page.locator("#json-text")).to_contain_text("two\\nlines")
    assert echoed(tab) == {
        "ratio": 0.123,
        "count": 99_999,
        "even": 4,
        "seed": 2**53 - 1,
        "strength": 7.5,
        "mode": "best",
        "size": "xl",
        "flag": True,
        "name": "cat",
        "note": "two\nlines",
        "tags": ["red", "blue"],
        "words": ["one", "two"],
    }
    assert tab.watch.errors == []


def test_what_a_form_cannot_hold_is_sent_as_json_by_page_and_command(visit, kinds, tmp_path):
    """An object, and an empty list in place of a default; a mistake in it is told at its field."""
    tab = visit(kinds, "/#knobbed")
    options = tab.page.get_by_label("options")
    options.fill('{"depth": 3')
    tab.press("Run")
    assert "Write JSON" in options.evaluate("area => area.validationMessage")
    assert tab.watch.predictions() == []
    options.fill('{"depth": 3}')
    tab.page.get_by_role("checkbox", name="red").uncheck()
    tab.press("Run")
    expect(tab.page.locator("#json-text")).to_contain_text("depth")
    found = echoed(tab)
    assert found["options"] == {"depth": 3}
    assert found["tags"] == []
    printed = json.loads(run(tab.page.locator("#curl").text_content(), tmp_path))
    assert printed["values"] == {"tags": [], "options": {"depth": 3}}
    options.fill("null")
    tab.press("Run")
    expect(tab.page.locator("#json-text")).to_contain_text('"options": null')


def test_a_fault_stands_at_its_field_which_has_the_focus(visit, kinds):
    """The server's words, until the field changes; Reset takes every change back."""
    tab = visit(kinds, "/#knobbed")
    name = tab.page.get_by_label("name", exact=True)
    expect(tab.page.locator("#reset")).not_to_be_visible()
    name.fill("no")
    tab.press("Run")
    expect(tab.page.locator("#problem")).to_contain_text("choose another name")
    expect(name).to_be_focused()
    expect(name).to_have_accessible_description("is taken")
    expect(name).to_have_attribute("aria-invalid", "true")
    name.fill("yes")
    expect(name).not_to_have_attribute("aria-invalid", "true")
    tab.press("Run")
    expect(tab.page.locator("#problem")).to_be_empty()
    expect(tab.page.locator("#json-text")).to_contain_text("yes")
    tab.press("Reset")
    expect(name).to_have_value("a")
    expect(tab.page.locator("#reset")).not_to_be_visible()


def test_a_rectangle_is_drawn_on_the_picture_or_written_as_numbers(visit, kinds):
    """Dragged on the picture, moved, resized at a corner, and by the keyboard in its four boxes."""
    tab = visit(kinds, "/#cropped")
    tab.pick(RED)
    caption = tab.page.locator("#result .caption")
    expect(caption).to_contain_text(re.compile("30 . 20 pixels"))
    box = tab.page.locator(".frame").bounding_box()
    assert box is not None
    mouse = tab.page.mouse

    def drag(start, end):
        points = [
            (box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)
        ]
        mouse.move(*points[0])
        mouse.down()
        mouse.move(*points[1], steps=3)
        mouse.up()

    drag((0.02, 0.02), (0.92, 0.92))  # a new one, from outside the old one
    expect(caption).to_contain_text(re.compile("54 . 36 pixels"))
    drag((0.92, 0.92), (0.52, 0.52))  # its corner
    expect(caption).to_contain_text(re.compile("30 . 20 pixels"))
    drag((0.2, 0.2), (0.9, 0.9))  # all of it, as far as the edge
    left = tab.page.get_by_label("left", exact=True)
    tab.page.get_by_text("Rectangle: draw it").click()
    expect(left).to_have_value("0.5")
    left.fill("0.8")
    left.blur()
    expect(caption).to_contain_text(re.compile("30 . 20 pixels"))
    tab.page.get_by_label("width", exact=True).fill("0.1")
    tab.page.get_by_label("width", exact=True).blur()
    expect(caption).to_contain_text(re.compile("6 . 20 pixels"))
    expect(tab.page.locator("#curl")).to_contain_text("left=0.8")
    tab.page.emulate_media(forced_colors="active")  # the picture is still seen below the shade
    shade = "rectangle => getComputedStyle(rectangle).outlineColor"
    assert tab.page.locator(".rectangle").evaluate(shade).startswith("rgba(")
    assert tab.watch.errors == []


def test_a_change_runs_a_model_of_pictures_but_not_one_of_texts_nor_one_out_of_bounds(visit, kinds):
    """Only models of pictures run by themselves; the browser tells of a bound before the server."""
    tab = visit(kinds, "/#verdict")
    tab.press("Win a prize now")
    expect(tab.page.locator("#result .label").first).to_have_text("spam")
    threshold = tab.page.get_by_label("threshold", exact=True)
    threshold.fill("0.999")
    threshold.press("Enter")
    expect(tab.page.locator("#result .label").first).to_have_text("mail")
    expect(tab.page.locator("#curl")).to_contain_text("-F threshold=0.999")
    assert len(tab.watch.predictions()) == 2
    tab.model("finder")
    tab.pick(RED)
    expect(tab.page.locator("#result li")).to_have_count(1)
    count = tab.page.get_by_label("count", exact=True)
    count.fill("1000")
    count.blur()
    assert count.evaluate("field => field.matches(':invalid')")
    count.fill("2")
    count.blur()
    expect(tab.page.locator("#result li")).to_have_count(2)
    assert len(tab.watch.predictions()) == 4
