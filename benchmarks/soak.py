"""Full load for minutes, to measure memory growth."""

import threading
import time
from typing import Any

from benchmarks.load import load
from benchmarks.stats import slope
from benchmarks.subjects import photo_post, product

CLIENTS = 16
SAMPLE_SECONDS = 15.0
MINUTE = 60.0


def measure(minutes: float) -> dict[str, Any]:
    """PSS and RSS of the tree each 15 s; means of the first and the last minute; bytes a minute."""
    samples: list[tuple[float, int, int]] = []
    seconds = minutes * MINUTE
    with product("soak") as server:
        result: dict[str, float] = {}
        thread = threading.Thread(
            target=lambda: result.update(load(server, photo_post(), CLIENTS, seconds))
        )
        began = time.perf_counter()
        thread.start()
        while thread.is_alive():
            thread.join(SAMPLE_SECONDS)
            if thread.is_alive():
                samples.append((time.perf_counter() - began, *server.memory()))
                at, pss, rss = samples[-1]
                print(
                    f"{at:4.0f} s: PSS {pss / 2**20:.0f} MiB, RSS {rss / 2**20:.0f} MiB", flush=True
                )
    end = samples[-1][0]
    first = [pss for at, pss, _ in samples if at <= MINUTE]
    last = [pss for at, pss, _ in samples if at > end - MINUTE]
    return {
        "minutes": minutes,
        "load": result,
        "samples": samples,
        "first_minute": sum(first) / len(first),
        "last_minute": sum(last) / len(last),
        "bytes_per_minute": slope((at / MINUTE, pss) for at, pss, _ in samples),
    }
