"""The system's Chromium in front of real servers: browser, pages that keep watch, servers."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from drills.server import Server, free_port
from drills.waiting import DEADLINE
from tests.services.server import serve

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MILLISECONDS = DEADLINE * 1000

expect.set_options(timeout=MILLISECONDS)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed; scripts/install_tools.sh installs it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The product as shipped, with its real weights."""
    with serve(tmp_path_factory.mktemp("product"), app=None, WEB_CONCURRENCY=1) as server:
        yield server


@pytest.fixture(scope="session")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The product with a model that is slow or fails on demand."""
    with serve(tmp_path_factory.mktemp("quick"), WEB_CONCURRENCY=1) as server:
        yield server


@pytest.fixture(scope="session")
def every_kind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The product with a small fake model for each kind of input and of result."""
    folder = tmp_path_factory.mktemp("every_kind")
    with serve(folder, app="tests.browser.models_app:app", WEB_CONCURRENCY=1) as server:
        yield server


class Watch:
    """What went on in a page: console errors, uncaught exceptions, requests and where to."""

    def __init__(self, page: Page) -> None:
        self.errors: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda line: line.type == "error" and self.errors.append(line.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def strangers(self, origin: str) -> list[str]:
        """Requests that left the origin; blob: and data: leave nothing."""
        return [
            url
            for url in self.requests
            if not url.startswith((f"{origin}/", f"blob:{origin}/", "data:"))
        ]


class Visit:
    """A page that is open on a server."""

    def __init__(self, page: Page, server: Server) -> None:
        self.page = page
        self.server = server
        self.watch = Watch(page)
        page.on("filechooser", lambda _: None)  # catch dialogues from the start: a late wish races

    def pick(self, file: Path | str | dict[str, Any], name: str = "image") -> None:
        """Choose a file with the picker of the model's input of that name."""
        self.page.set_input_files(f"#input-{name}", file)  # type: ignore[arg-type]

    def open(self, path: str = "/") -> "Visit":
        """Go to a path; of the page itself, wait until it knows its model."""
        self.page.goto(self.server.url + path)
        if path.partition("#")[0] == "/":
            expect(self.page.locator("#copy")).to_be_enabled()
        return self


Visitor = Callable[..., Visit]


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visitor]:
    """Opens pages, with the options of a browser context; closes them at the end."""
    contexts = []

    def open_page(server: Server, path: str = "/", **options: Any) -> Visit:
        context = browser.new_context(**options)
        context.set_default_timeout(MILLISECONDS)
        contexts.append(context)
        return Visit(context.new_page(), server).open(path)

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def free_ports() -> tuple[int, int]:
    """Two ports, one for the page and one for the metrics."""
    return free_port(), free_port()
