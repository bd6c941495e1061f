"""Whether what was started in this container lives: for platforms that can only run a command.

`python -m project.healthcheck` exits with 0 where the API or the job workers here answer /health.
"""

import sys
from http.client import HTTPException
from urllib.request import ProxyHandler, build_opener

from project.processes.ports import reachable_host
from project.settings import Settings
from project.settings.loading import load_settings

SECONDS = 5.0  # the API promises a tenth of one
DIRECT = build_opener(ProxyHandler({}))  # a container may have been given a proxy for the world


def fault(settings: Settings) -> str | None:
    """None where either answers; else what each said, in a line."""
    host = reachable_host(settings.host)
    found = []
    for port in (settings.port, settings.worker_metrics_port):
        url = f"http://{host}:{port}/health"
        try:
            with DIRECT.open(url, timeout=SECONDS):
                return None
        except (HTTPException, OSError) as error:
            found.append(f"{url}: {error}")
    return "; ".join(found)


if __name__ == "__main__":
    sys.exit(fault(load_settings()))
