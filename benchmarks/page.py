"""What the page costs a browser, measured in Chromium: `python -m benchmarks.page`.

A stub of 30 ms is live for a minute, and the shipped detection for its first box. The camera is a
film of a face, 30 frames a second. The table goes into docs/performance.md.
"""

import argparse
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.machine import machine
from benchmarks.paths import ROOT, VAR
from benchmarks.processes import Server, need
from benchmarks.sections import BROWSER, write_section
from benchmarks.stats import quantile
from benchmarks.subjects import product
from benchmarks.tables import table
from drills.chromium import arguments, write_film

RESULTS = VAR / "page.json"
PROBE = Path(__file__).parent / "page_probe.js"
FACE = ROOT / "project" / "api" / "static" / "samples" / "astronaut.jpg"
LIVE_SECONDS = 10
HEAP_SECONDS = 50  # after those
MEGABYTE = 1e6
LONG_TASKS = "since => probe.tasks.filter(([start]) => start >= since).length"
# what → unit, limit, whether it is a maximum
LIMITS: dict[str, tuple[str, float, bool]] = {
    "live, stub of 30 ms: answers": ("/s", 20, False),
    "the same: capture to painted, p95": (" ms", 60, True),
    "paint of 50 boxes with its layout, p95": (" ms", 4, True),
    "live: gap between animation frames, p95": (" ms", 18, True),
    "long tasks at load": ("", 0, True),
    "long tasks in 10 s of live": ("", 0, True),
    "open bitmaps, most": ("", 4, True),
    "heap from second 10 to 60 of live": (" MB", 5, True),
    "layout shift over all of it": ("", 0.005, True),
    "detection: from the start of the camera to the first box": (" s", 2, True),
    "detection: from opening the page to the first box": (" s", 10, True),
}


@contextmanager
def _page(browser: Browser, server: Server, model: str) -> Iterator[Page]:
    context = browser.new_context(permissions=["camera"])
    context.add_init_script(path=PROBE)
    page = context.new_page()
    page.goto(server.url(f"/#{model}"))
    page.wait_for_selector("body:not(.loading)")
    yield page
    context.close()


def _start(page: Page) -> float:
    """Press the button; returns the time of it on the page's clock, ms."""
    pressed = float(page.evaluate("() => performance.now()"))
    page.get_by_role("button", name="Use the camera").click()
    page.wait_for_selector(".stage[data-state=live]")
    return pressed


def _heap(page: Page) -> float:
    """Bytes in use after a garbage collection."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    return float(session.send("Runtime.getHeapUsage")["usedSize"])


def stub(browser: Browser) -> list[float]:
    """The figures of the stub, in the order of LIMITS."""
    app = "benchmarks.page_app:app"
    with (
        product("page", command=("api", app), MODELS="", WEB_CONCURRENCY=1) as server,
        _page(browser, server, "stub") as page,
    ):
        page.wait_for_timeout(1_000)
        at_load = page.evaluate(LONG_TASKS, 0)
        _start(page)
        page.wait_for_timeout(2_000)  # the means of the round trip settle
        page.evaluate("() => { startGaps(); probe.ages = []; }")
        began = page.evaluate("() => performance.now()")
        page.wait_for_timeout(LIVE_SECONDS * 1000)
        seconds = (page.evaluate("() => performance.now()") - began) / 1000
        ages, gaps = page.evaluate("() => [probe.ages, probe.gaps]")
        live_tasks = page.evaluate(LONG_TASKS, began)
        heap = _heap(page)
        page.wait_for_timeout(HEAP_SECONDS * 1000)
        growth = (_heap(page) - heap) / MEGABYTE
        page.get_by_role("button", name="Stop").first.click()
        bitmaps, shift = page.evaluate("() => [probe.maxBitmaps, probe.shift]")
        paints = page.evaluate("() => paintBoxes()")
    tail = [quantile(times, 0.95) for times in (ages, paints, gaps)]
    return [len(ages) / seconds, *tail, at_load, live_tasks, bitmaps, growth, shift]


def detection(browser: Browser) -> list[float]:
    """Seconds to the first box, from the press of the button and from opening the page."""
    with (
        product("page", MODELS="detection") as server,
        _page(browser, server, "detection") as page,
    ):
        pressed = _start(page)
        found = page.wait_for_function("() => document.querySelector('.box') && performance.now()")
        first = float(found.json_value())
    return [(first - pressed) / 1000, first / 1000]


def section(figures: list[float], head: str) -> list[str]:
    """The lines of the section of docs/performance.md."""
    rows = []
    for (what, (unit, limit, is_max)), figure in zip(LIMITS.items(), figures, strict=True):
        holds = figure <= limit if is_max else figure >= limit
        sign = "≤" if is_max else "≥"
        rows.append((what, f"{sign} {limit:g}{unit}", f"{figure:.3g}{unit}", _yes(holds=holds)))
    return [head, "", *table(("what", "limit", "reached", "holds"), rows)]


def _yes(*, holds: bool) -> str:
    return "yes" if holds else "no"


def measure() -> list[float]:
    """All figures, in the order of LIMITS."""
    film = VAR / "face.y4m"
    film.parent.mkdir(parents=True, exist_ok=True)
    write_film(film, FACE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=arguments(film)
        )
        figures = [*stub(browser), *detection(browser)]
        browser.close()
    return figures


def main() -> None:
    """Measure, print the table and write it into the page of figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "performance.md")
    given = parser.parse_args()
    need("chromium", "chromium")
    figures = measure()
    here: dict[str, Any] = machine()
    head = (
        f"`python -m benchmarks.page`, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, "
        f"{here['processor']}, {here['cores']} cores; the browser shares them with the server."
    )
    lines = section(figures, head)
    print("\n".join(lines))
    RESULTS.write_text(json.dumps(dict(zip(LIMITS, figures, strict=True)), indent=1) + "\n")
    write_section(BROWSER, "\n".join(lines), given.page)


if __name__ == "__main__":
    main()
