"""A real nginx with edge/nginx.conf of deploy/compose, on free ports of loopback."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from drills.programs import ready
from drills.server import free_port
from drills.waiting import DEADLINE, wait_until
from tests.deploy.compose import FOLDER
from tests.ops.tools import need

TEXT = (FOLDER / "edge/nginx.conf").read_text()


@contextmanager
def running(folder: Path, port: int, changes: Mapping[str, str] | None = None) -> Iterator[int]:
    """The public port of the edge in front of an API on `port`. changes: text to its replacement.

    Debian's nginx is older than the image's and does not resolve names of upstreams again.
    """
    public, health = free_port(), free_port()
    text = TEXT
    addresses = {
        "resolver RESOLVER valid=2s ipv6=off;": "",
        "server api:8000 resolve ": f"server 127.0.0.1:{port} ",
        "listen 8000;": f"listen 127.0.0.1:{public};",
        "listen 127.0.0.1:8001;": f"listen 127.0.0.1:{health};",
        "/tmp/": f"{folder}/",
    }
    for old, new in {**addresses, **(changes or {})}.items():
        assert old in text, old
        text = text.replace(old, new)
    (folder / "nginx.conf").write_text(text)
    command = [need("nginx"), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
    process = subprocess.Popen([*command, "-g", "daemon off;"], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: ready(f"http://127.0.0.1:{health}", "/"), "nginx answers")
        yield public
    finally:
        process.terminate()
        process.wait(DEADLINE)
