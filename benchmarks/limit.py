"""The limit: the same steps in plain loops, one process a core, with no server around them.

Run as a module it is one such process: it says `ready`, waits for a line, loops, prints JSON.
"""

import json
import statistics
import subprocess
import sys
import time
from typing import IO, Any

from benchmarks.paths import CORES, PHOTO, ROOT, environment
from benchmarks.processes import NotRunnable

WARM_PREDICTIONS = 20


def measure(mode: str, seconds: float, processes: int = CORES) -> dict[str, Any]:
    """Images a second over all processes, and the median latency in seconds of one of them."""
    variables = environment(BENCH_MODE=mode, BENCH_STREAMS=1)
    command = [sys.executable, "-m", "benchmarks.limit", str(seconds)]
    loops = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        for _ in range(processes)
    ]
    try:
        for loop in loops:
            _await_ready(loop)
        for loop in loops:
            _pipe(loop.stdin).write("go\n")
            _pipe(loop.stdin).flush()
        found = [json.loads(loop.communicate(timeout=seconds + 60)[0]) for loop in loops]
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
    return {
        "requests_per_second": sum(item["images"] / item["seconds"] for item in found),
        "p50": statistics.median(item["p50"] for item in found),
        "label": found[0]["label"],
        "backend": found[0]["backend"],
    }


def _await_ready(loop: "subprocess.Popen[str]") -> None:
    while (line := _pipe(loop.stdout).readline()).strip() != "ready":
        if not line:
            raise NotRunnable("a process of the limit ended before it was ready")


def _pipe(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise NotRunnable("a process of the limit has no pipes")
    return pipe


def _loop(seconds: float) -> dict[str, Any]:
    from benchmarks.peers.common import Predictor  # noqa: PLC0415 - brings torch

    predictor = Predictor()
    data = PHOTO.read_bytes()
    for _ in range(WARM_PREDICTIONS):
        predictor.predict(data).model_dump_json()
    print("ready", flush=True)
    sys.stdin.readline()
    times = []
    started = before = time.perf_counter()
    while before - started < seconds:
        result = predictor.predict(data)
        result.model_dump_json()
        after = time.perf_counter()
        times.append(after - before)
        before = after
    return {
        "images": len(times),
        "seconds": before - started,
        "p50": statistics.median(times),
        "label": result.model_dump()["classes"][0]["label"],
        "backend": predictor.model.backend,
    }


if __name__ == "__main__":
    print(json.dumps(_loop(float(sys.argv[1]))), flush=True)
