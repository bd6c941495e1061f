"""Health check of this container, for platforms that can only run a command.

`python -m project.healthcheck` exits with 0 where the API or the job workers here answer /health.
"""

import sys
from http.client import HTTPException
from urllib.request import ProxyHandler, build_opener

from project.processes.ports import reachable_host
from project.settings import Settings
from project.settings.loading import load_settings

TIMEOUT_SECONDS = 5.0  # /health answers within 0.1 s
DIRECT = build_opener(ProxyHandler({}))  # without a proxy that the container may have


def fault(settings: Settings) -> str | None:
    """None where either answers; else the error of each, in a line."""
    host = reachable_host(settings.host)
    errors = []
    for port in (settings.port, settings.worker_metrics_port):
        url = f"http://{host}:{port}/health"
        try:
            with DIRECT.open(url, timeout=TIMEOUT_SECONDS):
                return None
        except (HTTPException, OSError) as error:
            errors.append(f"{url}: {error}")
    return "; ".join(errors)


if __name__ == "__main__":
    sys.exit(fault(load_settings()))
