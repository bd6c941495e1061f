"""The system's Chromium in front of two real servers: browser, camera, pages that keep watch."""

import asyncio
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from drills.chromium import arguments, write_film
from drills.job_workers import run_job_workers
from drills.server import Server
from drills.waiting import DEADLINE
from tests.conftest import picture
from tests.photos import photo
from tests.services.server import serve
from tests.services.stack import Stack, standing

MILLISECONDS = DEADLINE * 1000
PRODUCT = "classification,detection,text_to_image"

expect.set_options(timeout=MILLISECONDS)


def png(name: str, colour: str, size: tuple[int, int] = (60, 40)) -> dict[str, Any]:
    """A plain picture as a file to choose."""
    return {
        "name": name,
        "mimeType": "image/png",
        "buffer": picture(colour=colour, size=size),
    }


RED, BLUE = png("red.png", "red"), png("blue.png", "blue", (30, 30))
WHITE, BLACK = png("white.png", "white"), png("black.png", "black")


@pytest.fixture(scope="session")
def camera_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of a face, as Chromium's fake camera reads it: 30 frames a second."""
    path = tmp_path_factory.mktemp("camera") / "face.y4m"
    write_film(path, photo("astronaut"))
    return path


@pytest.fixture(scope="session")
def browser(camera_file: Path) -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed; scripts/install_tools.sh installs it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments(camera_file))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The product as shipped, with its real weights, and a worker for its jobs."""
    folder = tmp_path_factory.mktemp("product")
    with (
        standing("embedded", folder) as stack,
        serve(folder, app=None, WEB_CONCURRENCY=1, MODELS=PRODUCT, **stack.variables) as server,
        run_job_workers(
            folder, ready=False, WORKER_PROCESSES=1, MODELS="text_to_image", **stack.variables
        ),
    ):
        yield server


@dataclass(frozen=True)
class Kinds:
    """A server with a small fake model for each kind, whose jobs no worker runs."""

    server: Server
    stack: Stack


@pytest.fixture(scope="session")
def every_kind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kinds]:
    folder = tmp_path_factory.mktemp("kinds")
    with standing("embedded", folder) as stack:
        app = "tests.browser.models_app:app"
        variables = {**stack.variables, "MAX_BODY_BYTES": 1_000_000}
        with serve(folder, app=app, WEB_CONCURRENCY=1, **variables) as server:
            yield Kinds(server, stack)


@pytest.fixture(scope="session")
def kinds(every_kind: Kinds) -> Server:
    """The server alone."""
    return every_kind.server


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

    def predictions(self) -> list[str]:
        """Those for a prediction."""
        return [url for url in self.requests if "/predictions" in url]


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
            expect(self.page.locator("body")).not_to_have_class("loading")
        return self

    def model(self, name: str) -> "Visit":
        """Choose another model on the same page."""
        self.page.evaluate("name => { location.hash = name }", name)
        expect(self.page.locator("#models [aria-current]")).to_contain_text(name)
        expect(self.page.locator("#facts li").first).to_contain_text(name)
        return self

    def press(self, name: str) -> None:
        """Press the button of that name."""
        self.page.get_by_role("button", name=name, exact=True).first.click()


Visitor = Callable[..., Visit]


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visitor]:
    """Opens pages, with the options of a browser context; closes them at the end.

    script: runs in each page before its own.
    """
    contexts: list[BrowserContext] = []

    def open_page(server: Server, path: str = "/", script: str = "", **options: Any) -> Visit:
        context = browser.new_context(**options)
        context.set_default_timeout(MILLISECONDS)
        if script:
            context.add_init_script(script)
        contexts.append(context)
        return Visit(context.new_page(), server).open(path)

    yield open_page
    for context in contexts:
        context.close()


def run(coroutine: Any) -> Any:
    """Run a coroutine beside Playwright, whose own loop runs in this thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()
