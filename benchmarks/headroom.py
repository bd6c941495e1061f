"""The headroom that an overload leaves when refusals cost next to nothing.

The clients of an overload run on the same cores, and the kernel copies their images to the server.
Here nginx refuses all of them while the in-process limit runs beside it: what the limit loses, no
server could use.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks import limit
from benchmarks.load import Post
from benchmarks.paths import VAR, environment
from benchmarks.processes import END_SECONDS, NotRunnable, Server, ask, free_port, running

REFUSED = 503
CONFIGURATION = """
daemon off;
worker_processes auto;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 2048; }}
http {{
  access_log off;
  client_max_body_size 10m;
  client_body_temp_path {folder};
  proxy_temp_path {folder};
  fastcgi_temp_path {folder};
  uwsgi_temp_path {folder};
  scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port}; location / {{ return 503; }} }}
}}
"""


def measure(command: list[str], post: Post, seconds: float) -> dict[str, Any]:
    """Images a second of the in-process limit: alone, and beside a load that nginx refuses.

    command: of the load generator, without the URL. Raises NotRunnable.
    """
    with _nginx() as server:
        before = limit.measure("compiled", seconds)["requests_per_second"]
        with _sending([*command, server.url(post.path)]):
            beside = limit.measure("compiled", seconds)["requests_per_second"]
        after = limit.measure("compiled", seconds)["requests_per_second"]
    return {"alone": (before + after) / 2, "beside": beside}


@contextmanager
def _nginx() -> Iterator[Server]:
    folder, port = VAR / "nginx", free_port()
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder, port=port))
    with running(
        ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(configuration)],
        port=port,
        variables=environment(),
        name="nginx",
        ready=lambda server: ask(server.port, "GET", "/").status == REFUSED,
    ) as server:
        yield server


@contextmanager
def _sending(command: list[str]) -> Iterator[None]:
    """Run the load generator while the context is open."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
        if process.poll() is not None:
            raise NotRunnable(f"the load ended early, with {process.returncode}")
    finally:
        process.kill()
        process.wait(END_SECONDS)
