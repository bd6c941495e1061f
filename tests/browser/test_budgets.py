"""What the page may cost: bytes, requests, layout shifts, pictures that stay open."""

import gzip
import re

from playwright.sync_api import expect

from project.api.routes.web_page import STATIC
from project.models import available
from tests.browser.conftest import BLUE, RED

MAX_BYTES = 163_800  # of all files but the samples and those of accounts
MAX_ZIPPED = 60_000  # each one compressed
MAX_BYTES_OF_ACCOUNTS = 23_500
MAX_ZIPPED_OF_ACCOUNTS = 9_250
MAX_SAMPLE = 40_000
MAX_REQUESTS = 22  # before the first answer
MAX_BITMAPS = 4
OF_ACCOUNTS = {"session.js", "sign-in.js", "account.js", "forms.js", "account.css"}

SHIFTS = """(() => {
  window.shifts = [];
  new PerformanceObserver((list) => {
    for (const { value, sources, hadRecentInput } of list.getEntries())
      if (!hadRecentInput)
        window.shifts.push([value, ...sources.map(({ node }) => node?.outerHTML?.slice(0, 120))]);
  }).observe({ type: "layout-shift", buffered: true });
  window.open_bitmaps = window.most_bitmaps = window.frames_taken = 0;
  const make = createImageBitmap, close = ImageBitmap.prototype.close;
  window.createImageBitmap = async (...given) => {
    const made = await make(...given);
    window.frames_taken++;
    window.most_bitmaps = Math.max(window.most_bitmaps, ++window.open_bitmaps);
    return made;
  };
  ImageBitmap.prototype.close = function () { window.open_bitmaps--; return close.call(this); };
})()"""


def test_the_files_are_few_and_small():
    """The page needs no build step, and stays as light as if it had one."""
    files = {path.name: path.read_bytes() for path in STATIC.glob("*.*")}
    of_accounts = [files.pop(name) for name in OF_ACCOUNTS]
    for data, max_bytes, max_zipped in (
        (files.values(), MAX_BYTES, MAX_ZIPPED),
        (of_accounts, MAX_BYTES_OF_ACCOUNTS, MAX_ZIPPED_OF_ACCOUNTS),
    ):
        assert sum(map(len, data)) <= max_bytes
        assert sum(len(gzip.compress(one, 9)) for one in data) <= max_zipped
    assert all(path.stat().st_size <= MAX_SAMPLE for path in (STATIC / "samples").iterdir())


def test_no_file_names_a_model():
    """The contract is the only source: a new model appears without a change of the page."""
    words = "\n".join(path.read_text() for path in STATIC.glob("*.*"))
    assert [name for name in available() if re.search(rf"\b{name}\b", words)] == []


def test_the_server_is_reached_at_one_place_alone():
    """What a request or a socket has to carry is added there, and nowhere else."""
    scripts = {path.name: path.read_text() for path in STATIC.glob("*.js")}
    for call in (r"\bfetch\(", r"new WebSocket\(", r"EventSource|XMLHttpRequest|sendBeacon"):
        found = {name: len(re.findall(call, text)) for name, text in scripts.items()}
        places = {name: count for name, count in found.items() if count}
        assert places == ({} if "|" in call else {"client.js": 1}), call


def test_few_requests_are_made_before_the_first_answer(visit, kinds):
    """Each file once; what is not needed yet is not loaded."""
    tab = visit(kinds, "/#finder")
    tab.pick(RED)
    expect(tab.page.locator("#result li")).to_have_count(1)
    asked = {url for url in tab.watch.requests if url.startswith(kinds.url)}
    assert len(asked) <= MAX_REQUESTS, sorted(asked)
    assert [url for url in asked if url.rpartition("/")[2] in OF_ACCOUNTS] == []


def test_nothing_moves_by_itself_and_no_picture_stays_open(visit, kinds):
    """Over load, pick, answer, error, job, start and stop of live."""
    tab = visit(kinds, "/#finder", script=SHIFTS, permissions=["camera"])
    tab.pick(RED)
    expect(tab.page.locator("#result li")).to_have_count(1)
    tab.pick({"name": "broken.png", "mimeType": "image/png", "buffer": b"no"})
    expect(tab.page.locator("#problem h3")).to_be_visible()
    tab.pick(BLUE)
    expect(tab.page.locator("#result li")).to_have_count(1)
    tab.press("Use the camera")
    stage = tab.page.locator(".stage")
    expect(stage).to_have_attribute("data-state", "live")
    expect(tab.page.locator(".figures")).to_contain_text("dropped")
    tab.page.wait_for_function("() => window.frames_taken > 20")
    tab.press("Stop")
    expect(stage).to_have_attribute("data-state", "still")
    tab.page.get_by_role("link", name="paint").click()
    expect(tab.page.locator("#facts")).to_contain_text("paint")
    tab.press("Run as a job")
    expect(tab.page.locator("#result progress")).to_be_visible()
    assert tab.page.evaluate("() => window.shifts") == []
    assert 1 <= tab.page.evaluate("() => window.most_bitmaps") <= MAX_BITMAPS
    tab.page.wait_for_function("() => window.open_bitmaps === 0")
