"""What a page is like for everyone: axe's rules, contrast, the focus, and what sticks out."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, ViewportSize

from tests.browser.conftest import Visit
from tests.node_packages import install

WIDE, NARROW, NARROWEST = (ViewportSize(width=width, height=900) for width in (1280, 390, 320))

# Axe sees all of a state in light and wide; dark and narrow, what depends on that. Contrast is
# measured for every text in both.
OF_LOOKS = ["target-size", "scrollable-region-focusable"]

RUN = """(rules) => axe.run(document, {
  resultTypes: ["violations"],
  ...(rules.length ? { runOnly: { type: "rule", values: rules } } : {
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    rules: { "target-size": { enabled: true } },
  }),
})"""

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
    const seen = owner.checkVisibility({ visibilityProperty: true });
    if (!words || !seen || owner.closest(".unseen, noscript, option")) continue;
    const grounds = chain(owner).map((node) => getComputedStyle(node).backgroundColor);
    const ground = paint(["#fff", ...grounds]);
    const text = paint(["#fff", ...grounds, getComputedStyle(owner).color]);
    const [light, dark] = [luminance(ground), luminance(text)].sort((a, b) => b - a);
    found.push({ words, ratio: (light + 0.05) / (dark + 0.05) });
  }
  return found;
}"""

# What sticks out of the screen, but for what scrolls in its own box.
OUTSIDE = """() => [...document.body.querySelectorAll("*")]
  .filter((node) => !node.closest("pre, svg, .models, .gallery, .stage, .unseen"))
  .filter((node) => node.getBoundingClientRect().right > innerWidth + 0.5)
  .map((node) => node.outerHTML.slice(0, 200))"""

FOCUSED = """() => {
  const focused = document.activeElement;
  const shown = focused.type === "file" ? focused.nextElementSibling : focused;
  const { outlineStyle, outlineWidth } = getComputedStyle(shown);
  const name = focused.id || focused.getAttribute("aria-label") || focused.textContent.trim();
  return { name, ring: outlineStyle !== "none" && parseFloat(outlineWidth) >= 2 };
}"""


@cache
def axe() -> str:
    """The source of axe-core; a test skips where npm cannot install it."""
    folder = install(Path(__file__).parent / "axe")
    return (folder / "node_modules/axe-core/axe.min.js").read_text()


def faults(page: Page, rules: Sequence[str] = ()) -> list[Any]:
    """What axe, the contrast and the width of the screen find wrong with the page as it stands.

    rules: of axe; none: all of WCAG 2.2, AA, and its best practices.
    """
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(axe())  # a script element would be stopped by the page's policy
    report = page.evaluate(RUN, list(rules))
    assert report["testEngine"]["name"] == "axe-core"
    found: list[Any] = [
        (violation["id"], node["html"][:200], node["failureSummary"])
        for violation in report["violations"]
        for node in violation["nodes"]
    ]
    found += [text for text in page.evaluate(CONTRASTS) if text["ratio"] < 4.5]
    found += page.evaluate(OUTSIDE)
    if page.evaluate("() => document.documentElement.scrollWidth > innerWidth"):
        found.append("scrolls sideways")
    return found


def check(tab: Visit, state: str) -> None:
    """The page as it stands has no fault; nor dark and narrow, nor on the narrowest screen."""
    page = tab.page
    assert faults(page) == [], state
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size(NARROW)
    assert faults(page, OF_LOOKS) == [], f"{state}, dark and narrow"
    page.set_viewport_size(NARROWEST)
    assert not page.evaluate("() => document.documentElement.scrollWidth > innerWidth"), state
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(WIDE)
