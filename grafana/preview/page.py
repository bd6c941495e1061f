"""The page that draws dashboards: built where it is not up to date, served on a free port."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

HERE = Path(__file__).parent
DASHBOARDS = HERE.parent / "dashboards"
LOCK = HERE / "package-lock.json"
INSTALLED = HERE / "node_modules" / ".package-lock.json"  # npm writes it last
BUILT = HERE / "dist" / "build" / "index.html"


class Unavailable(Exception):
    """Something that pictures need is not there; the message says what to do."""


def build() -> None:
    """Install the page's packages and build it, each where what it is made of has changed."""
    manifest = [HERE / "package.json", LOCK]
    if _older(INSTALLED, manifest):
        _npm("ci", "--no-audit", "--no-fund")
        INSTALLED.touch()
    sources = [*(HERE / "src").rglob("*.ts*"), HERE / "index.html", HERE / "vite.config.js"]
    if _older(BUILT, [*sources, *manifest]):
        _npm("run", "build")


def _older(product: Path, sources: list[Path]) -> bool:
    return not product.exists() or product.stat().st_mtime < max(
        source.stat().st_mtime for source in sources
    )


def _npm(*arguments: str) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise Unavailable("npm is missing: install Node.js 20.19, 22.12 or newer")
    ran = subprocess.run(  # noqa: S603 - npm, with arguments of this file
        [npm, *arguments],
        cwd=HERE,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if ran.returncode:
        raise Unavailable(f"npm {arguments[0]} failed in {HERE}:\n{ran.stdout.strip()}")


class _Files(SimpleHTTPRequestHandler):
    """The built page, and the dashboards under /dashboards/."""

    def translate_path(self, path: str) -> str:
        prefix, name = path.partition("?")[0].rsplit("/", 1)
        if prefix == "/dashboards":
            return str(DASHBOARDS / name)
        return super().translate_path(path)

    def log_message(self, *_: object) -> None:
        """Say nothing: what fails, the page says itself."""


@contextmanager
def served() -> Iterator[str]:
    """The page's address while the body runs."""
    handler = partial(_Files, directory=str(BUILT.parent.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
