"""Takes a picture of each dashboard: `python -m grafana.preview.shoot`, or `make pictures`."""

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

import httpx2
import typer
from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright
from playwright.sync_api import TimeoutError as TooLate

from grafana.preview.page import DASHBOARDS, Unavailable, build, served

# Higher than any dashboard: what is scrolled into view for the picture is not always painted.
WINDOW: ViewportSize = {"width": 1600, "height": 6000}
MAX_BYTES = 500_000
MILLISECONDS = 120_000  # for a whole dashboard to draw


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's browser."""
    program = shutil.which("chromium")
    if program is None:
        raise Unavailable("chromium is missing: `make tools` installs it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


def ask(prometheus: str) -> None:
    """Make sure that Prometheus answers queries before a browser finds that it does not."""
    try:
        answer = httpx2.get(f"{prometheus}/api/v1/query", params={"query": "1"}, timeout=10)
        answer.raise_for_status()
    except httpx2.HTTPError as error:
        raise Unavailable(
            f"Prometheus does not answer at {prometheus}: {error}; "
            "start it with `make run`, or name another with PROMETHEUS_URL"
        ) from error


def draw(page: Page, address: str) -> list[str]:
    """Open the page and wait until every panel has drawn; returns what is wrong with which."""
    broken: list[str] = []
    page.on("pageerror", lambda error: broken.append(f"the page: {error}"))
    page.goto(address)
    try:
        page.wait_for_function("window.drawn", timeout=MILLISECONDS)
    except TooLate:
        late = page.evaluate("window.undrawn ?? ['every panel']")
        return [*broken, *(f"{panel}: not drawn in {MILLISECONDS // 1000} s" for panel in late)]
    troubles = page.evaluate("window.drawn.troubles")
    return [*broken, *(f"{trouble['panel']}: {trouble['says']}" for trouble in troubles)]


def small(png: bytes) -> bytes:
    """The picture, with fewer colours where it would be large."""
    if len(png) <= MAX_BYTES:
        return png
    reduced = Image.open(io.BytesIO(png)).convert("RGB")
    written = io.BytesIO()
    reduced.quantize(256, dither=Image.Dither.NONE).save(written, "PNG", optimize=True)
    return written.getvalue()


def pictures(prometheus: str, since: str, until: str, folder: Path) -> dict[str, list[str]]:
    """Draw and keep all dashboards; returns what is wrong with each that has troubles."""
    ask(prometheus)
    build()
    folder.mkdir(parents=True, exist_ok=True)
    wrong = {}
    with served() as base, chromium() as browser:
        for path in sorted(DASHBOARDS.glob("*.json")):
            query = {
                "dashboard": f"/dashboards/{path.name}",
                "prometheus": prometheus,
                "from": since,
                "to": until,
            }
            page = browser.new_page(viewport=WINDOW)
            troubles = draw(page, f"{base}/build/index.html?{urlencode(query)}")
            picture = folder / f"dashboard-{path.stem.removeprefix('vitrine-')}.png"
            picture.write_bytes(small(page.locator("#root").screenshot()))
            page.close()
            typer.echo(f"{picture}  {picture.stat().st_size // 1000} kB")
            if troubles:
                wrong[path.stem] = troubles
    return wrong


def main(
    prometheus: Annotated[str, typer.Option(envvar="PROMETHEUS_URL")] = "http://localhost:9090",
    since: Annotated[str, typer.Option("--from", help="Such as now-1h.")] = "now-1h",
    until: Annotated[str, typer.Option("--to")] = "now",
    into: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("docs/images"),
) -> None:
    """Draw every dashboard from a live Prometheus; fails where a panel has an error or no data."""
    try:
        wrong = pictures(prometheus.rstrip("/"), since, until, into)
    except Unavailable as error:
        raise SystemExit(str(error)) from error
    for dashboard, troubles in wrong.items():
        for trouble in troubles:
            typer.echo(f"{dashboard}: {trouble}", err=True)
    if wrong:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
