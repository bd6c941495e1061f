"""Closed-loop load with wrk: each client sends its next request when it has its answer."""

import json
import subprocess
from dataclasses import asdict, dataclass

from benchmarks.paths import VAR
from benchmarks.processes import NotRunnable, Server

SCRIPT = """
local file = io.open("{body}", "rb")
wrk.method = "{method}"
wrk.body = file:read("*a")
wrk.headers["Content-Type"] = "{content_type}"
{headers}function done(summary, latency, _)
  local e = summary.errors
  print(string.format(
    '{{"requests": %d, "us": %d, "p50": %d, "p99": %d, "bad": %d, "broken": %d}}',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.status, e.connect + e.read + e.write + e.timeout))
end
"""
MICROSECONDS = 1e6


@dataclass(frozen=True)
class Post:
    """A request for a prediction. method: another than POST for other loads.

    token: sent as `Authorization: Bearer`.
    """

    path: str
    body: bytes
    content_type: str
    method: str = "POST"
    token: str | None = None


@dataclass(frozen=True)
class Load:
    """Results of a load. Latencies in seconds; bad: answers other than 2xx and 3xx, not counted.

    requests: that were answered, whatever the answer.
    """

    requests: int
    requests_per_second: float
    p50: float
    p99: float
    bad: int
    broken: int


def load(server: Server, post: Post, clients: int, seconds: float) -> dict[str, float]:
    """The fields of `Load`, after so many seconds with so many concurrent clients.

    Raises NotRunnable where wrk could not measure.
    """
    folder = VAR / "load"
    folder.mkdir(parents=True, exist_ok=True)
    body, script = folder / "body", folder / "post.lua"
    body.write_bytes(post.body)
    token = f'wrk.headers["Authorization"] = "Bearer {post.token}"\n' if post.token else ""
    script.write_text(
        SCRIPT.format(body=body, method=post.method, content_type=post.content_type, headers=token)
    )
    command = [
        *("wrk", "--threads", "1", "--connections", str(clients)),
        *("--duration", f"{max(1, round(seconds))}s", "--timeout", "10s"),
        *("--script", str(script), server.url(post.path)),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=seconds + 60
    )
    line = next((item for item in done.stdout.splitlines() if item.startswith("{")), None)
    if line is None:
        raise NotRunnable(f"wrk ended with {done.returncode}: {done.stderr.strip()[:200]}")
    found = json.loads(line)
    elapsed = found["us"] / MICROSECONDS
    return asdict(
        Load(
            requests=found["requests"],
            requests_per_second=(found["requests"] - found["bad"]) / elapsed,
            p50=found["p50"] / MICROSECONDS,
            p99=found["p99"] / MICROSECONDS,
            bad=found["bad"],
            broken=found["broken"],
        )
    )
