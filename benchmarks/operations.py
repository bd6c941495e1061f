"""Start-up time, memory, and the cost of a large photo."""

import io
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.load import Post, load
from benchmarks.paths import PHOTO, ROOT, VAR, environment
from benchmarks.processes import NotRunnable, ask
from benchmarks.stats import median
from benchmarks.subjects import PATH, photo_post, product

STARTS = 3
CLIENTS = 16
MEMORY_SECONDS = 5.0
WORKERS = (1, 2, 4)
PHOTOS = 20
LARGE = (4000, 3000)
QUALITY = 90
TIMED = re.compile(r"([\w-]+);dur=([\d.]+)")
STAGES = ("decode", "preprocess")


def starts() -> dict[str, Any]:
    """Seconds from the start of the process until every worker serves, without and with a cache."""
    cache = VAR / "cache"
    found: dict[str, list[float]] = {"cold": [], "warm": []}
    for _ in range(STARTS):
        shutil.rmtree(cache, ignore_errors=True)
        for which, times in found.items():
            with product(f"start-{which}", CACHE_DIR=cache) as server:
                times.append(time.perf_counter() - server.started)
            print(f"start, {which}: {times[-1]:.1f} s", flush=True)
    return found


def memory() -> dict[str, Any]:
    """Bytes (PSS) of the whole tree under load, by the number of workers."""
    found = {}
    for workers in WORKERS:
        with product(f"memory-{workers}", WEB_CONCURRENCY=workers) as server:
            load(server, photo_post(), CLIENTS, MEMORY_SECONDS)
            found[str(workers)] = server.memory()[0]
        print(f"memory, {workers} workers: {found[str(workers)] / 2**20:.0f} MiB", flush=True)
    return found


def large_photo() -> dict[str, Any]:
    """Seconds to decode and preprocess 12 million pixels: in plain steps, and in the server."""
    file = VAR / "load" / "photo12mp.jpg"
    file.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    with Image.open(PHOTO) as photo:
        photo.resize(LARGE, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=QUALITY)
    file.write_bytes(buffer.getvalue())
    plain = _plain(str(file))
    post = Post(PATH, buffer.getvalue(), "image/jpeg")
    times = []
    with product("photo12mp") as server:
        for _ in range(PHOTOS):
            headers = {"Content-Type": post.content_type}
            answer = ask(server.port, "POST", post.path, post.body, headers)
            stages = dict(TIMED.findall(answer.headers["server-timing"]))
            times.append(sum(float(stages.get(name, 0)) for name in STAGES) / 1000)
    return {"plain": plain, "server": median(times), "bytes": len(buffer.getvalue())}


def _plain(file: str) -> float:
    command = [sys.executable, "-m", "benchmarks.operations", file]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NotRunnable(f"the plain steps failed: {done.stderr.strip()[-200:]}")
    return float(done.stdout)


def _plain_median(file: str) -> float:
    from benchmarks.peers.common import Predictor  # noqa: PLC0415 - brings torch

    predictor = Predictor()
    data = Path(file).read_bytes()
    times = []
    for _ in range(PHOTOS):
        before = time.perf_counter()
        predictor.prepare(data, every_pixel=True)
        times.append(time.perf_counter() - before)
    return median(times)


if __name__ == "__main__":
    print(_plain_median(sys.argv[1]))
