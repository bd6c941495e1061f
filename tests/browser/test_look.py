"""For everyone: contrast in both schemes, the keyboard alone, narrow screens, less motion."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.photos import photo

# Every visible text with its contrast to what is painted behind it (WCAG 2.2, 1.4.3). A canvas
# turns any CSS colour into bytes; backgrounds are laid over each other from the root inwards.
CONTRASTS = """() => {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const paint = (colours) => {
    context.clearRect(0, 0, 1, 1);
    for (const colour of colours) { context.fillStyle = colour; context.fillRect(0, 0, 1, 1); }
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (rgb) => rgb.map((byte) => byte / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const chain = (node) => (node ? [...chain(node.parentElement), node] : []);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const owner = walker.currentNode.parentElement;
    const words = walker.currentNode.data.trim();
    if (!words || !owner.checkVisibility() || owner.closest(".unseen, noscript, option")) continue;
    const grounds = chain(owner).map((node) => getComputedStyle(node).backgroundColor);
    const ground = paint(["#fff", ...grounds]);
    const text = paint(["#fff", ...grounds, getComputedStyle(owner).color]);
    const [light, dark] = [luminance(ground), luminance(text)].sort((a, b) => b - a);
    found.push({ words, ratio: (light + 0.05) / (dark + 0.05), ground });
  }
  return found;
}"""

# What sticks out of the screen, but for what scrolls in its own box.
OUTSIDE = """() => [...document.body.querySelectorAll("*")]
  .filter((node) => !node.closest("pre, svg, .models"))
  .filter((node) => node.getBoundingClientRect().right > innerWidth)
  .map((node) => node.outerHTML)"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_is_readable(visit, product, scheme):
    """4.5 to 1 or better, with an answer and with a problem, in both colour schemes."""
    tab = visit(product, color_scheme=scheme)
    tab.pick(photo("chelsea"))
    expect(tab.page.locator(".ranking li")).to_have_count(5)
    texts = tab.page.evaluate(CONTRASTS)
    tab.pick({"name": "broken.png", "mimeType": "image/png", "buffer": b"no"})
    expect(tab.page.locator("#problem h3")).to_be_visible()
    texts += tab.page.evaluate(CONTRASTS)
    assert len(texts) > 60
    assert [text for text in texts if text["ratio"] < 4.5] == []
    body = tab.page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, re.findall(r"\d+", body)[:3]))
    assert brightness > 600 if scheme == "light" else brightness < 100


KINDS = ["verdict", "mix", "finder", "noise", "tagged"]


def with_answer(visit: Visit, model: str) -> Visit:
    """The page with an answer of that model of `models_app`, whose JSON is unfolded."""
    if model == "verdict":
        visit.page.get_by_role("button", name="Win a prize").click()
    elif model == "mix":
        visit.pick(photo("chelsea"), "content")
        visit.pick(photo("coffee"), "style")
    elif model == "finder":
        visit.pick(photo("astronaut"))
    elif model == "noise":
        visit.page.get_by_role("button", name="Run").click()
    else:
        expect(visit.page.locator("#obstacle")).to_be_visible()
        return visit
    expect(visit.page.locator("#result")).not_to_be_empty()
    if model in {"verdict", "finder"}:
        visit.page.get_by_text("As JSON").click()
    return visit


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("model", KINDS)
def test_every_kind_of_answer_is_readable(visit, every_kind, model, scheme):
    """4.5 to 1 or better for texts, pictures, boxes and the notice, in both colour schemes."""
    tab = with_answer(visit(every_kind, f"/#{model}", color_scheme=scheme), model)
    texts = tab.page.evaluate(CONTRASTS)
    assert len(texts) > 20
    assert [text for text in texts if text["ratio"] < 4.5] == []


@pytest.mark.parametrize("width", [320, 360])
@pytest.mark.parametrize("model", KINDS)
def test_every_kind_of_answer_fits_a_narrow_screen(visit, every_kind, model, width):
    """The page never scrolls sideways; the list of models and the JSON do in their own boxes."""
    tab = visit(every_kind, f"/#{model}", viewport={"width": width, "height": 800})
    expect(tab.page.locator("#models [aria-current=page]")).to_be_in_viewport(ratio=0.9)
    with_answer(tab, model)
    assert tab.page.evaluate(OUTSIDE) == []
    assert tab.page.evaluate("() => document.documentElement.scrollWidth") <= width


def test_the_keyboard_runs_a_text_and_reaches_its_answer(visit, every_kind):
    """From the chosen model through the text, its example and the button to the JSON."""
    tab = visit(every_kind, "/#verdict")
    tab.page.locator("#models a").last.focus()
    seen = []
    for key in ("Tab", "Tab", "Tab", "Tab"):
        tab.page.keyboard.press(key)
        seen.append(tab.page.evaluate(FOCUSED))
    assert [stop["name"] for stop in seen] == [
        "input-text",
        "Win a prize now",
        "parameter-threshold",
        "run",
    ]
    assert all(stop["ring"] for stop in seen)
    tab.page.keyboard.press("Shift+Tab")
    tab.page.keyboard.press("Shift+Tab")
    tab.page.keyboard.press("Enter")
    expect(tab.page.locator("#json summary")).to_be_visible()
    for _ in range(3):
        tab.page.keyboard.press("Tab")
    tab.page.keyboard.press("Enter")
    expect(tab.page.locator("#json-text")).to_be_visible()


FOCUSED = """() => {
  const focused = document.activeElement;
  const shown = focused.type === "file" ? focused.nextElementSibling : focused;
  const { outlineStyle, outlineWidth } = getComputedStyle(shown);
  const name = focused.id || focused.getAttribute("aria-label") || focused.textContent.trim();
  return { name, ring: outlineStyle !== "none" && parseFloat(outlineWidth) >= 2 };
}"""


def test_the_keyboard_reaches_everything_in_reading_order_and_shows_where_it_is(visit, product):
    """Tab goes through links, picture, parameters and copy, with a ring around each."""
    tab = visit(product)
    seen = []
    for _ in range(8):
        tab.page.keyboard.press("Tab")
        seen.append(tab.page.evaluate(FOCUSED))
    assert [stop["name"] for stop in seen] == [
        "Vitrine",
        "API docs",
        "metrics-link",
        "Readiness",
        "input-image",
        "parameter-top_k",
        "curl command",
        "copy",
    ]
    assert all(stop["ring"] for stop in seen)


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_a_picture_is_chosen_and_predicted_without_a_mouse(visit, product, key):
    """Enter and Space on the picture's frame open the system's file dialogue."""
    tab = visit(product)
    picker = tab.page.get_by_label("Choose a picture")
    picker.focus()
    with tab.page.expect_file_chooser() as dialogue:
        tab.page.keyboard.press(key)
    dialogue.value.set_files(photo("chelsea"))
    expect(tab.page.locator(".ranking li")).to_have_count(5)
    expect(tab.page.get_by_role("status").filter(has_text="cat")).to_have_count(1)
    expect(picker).to_be_focused()


def test_a_long_list_can_be_scrolled_with_the_keyboard(visit, product):
    """A hundred classes stay in their panel, which the keyboard reaches."""
    tab = visit(product)
    tab.page.get_by_label("top_k").fill("100")
    tab.page.get_by_label("top_k").blur()
    tab.pick(photo("chelsea"))
    expect(tab.page.locator(".ranking li")).to_have_count(100)
    ranking = tab.page.locator(".ranking")
    ranking.focus()
    tab.page.keyboard.press("End")
    expect(ranking.locator("li").last).to_be_in_viewport()


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_no_screen_is_too_narrow(visit, product, width):
    """Nothing sticks out sideways, before or after an answer; a command may scroll in its box."""
    tab = visit(product, viewport={"width": width, "height": 800})
    assert tab.page.evaluate(OUTSIDE) == []
    tab.pick(photo("chelsea"))
    expect(tab.page.locator(".ranking li")).to_have_count(5)
    assert tab.page.evaluate(OUTSIDE) == []
    assert tab.page.evaluate("() => document.documentElement.scrollWidth") <= width


def test_who_wants_less_motion_gets_none(visit, product):
    """Nothing slides or runs where the system asks for reduced motion."""
    moving = """() => [...document.querySelectorAll("*")].filter((node) =>
      ["", "::before", "::after"].some((part) => {
        const style = getComputedStyle(node, part || null);
        return style.animationName !== "none" || parseFloat(style.transitionDuration) > 0;
      })).length"""
    busy = "() => document.querySelector('#answer').setAttribute('aria-busy', 'true')"
    still, lively = visit(product, reduced_motion="reduce"), visit(product)
    for tab in (still, lively):
        tab.page.evaluate(busy)
    assert still.page.evaluate(moving) == 0
    assert lively.page.evaluate(moving) > 0


def test_the_command_on_the_page_is_copied(visit, product):
    """What is copied is what is shown: the model's real path on this very origin."""
    tab = visit(product, permissions=["clipboard-read", "clipboard-write"])
    expected = (
        "curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' "
        f"{product.url}/v1/models/classification/predictions"
    )
    expect(tab.page.locator("#curl")).to_have_text(expected)
    tab.page.get_by_role("button", name="Copy").click()
    expect(tab.page.locator("#copy")).to_have_text("Copied")
    assert tab.page.evaluate("() => navigator.clipboard.readText()") == expected


def test_the_links_lead_to_what_they_name(visit, product):
    """Every link on the page answers."""
    tab = visit(product)
    paths = tab.page.locator("a[href]").evaluate_all("links => links.map(link => link.href)")
    assert {path.removeprefix(product.url) for path in paths} == {
        "/",
        "/docs",
        "/metrics",
        "/ready",
        "/#classification",
    }
    for path in paths:
        assert tab.page.request.get(path).ok, path
