"""The image's figures for deploy/README.md: `python -m benchmarks.image`, after `make image-test`.

It runs as tests/image does: read-only, without capabilities, with 2 GiB, on this machine's network.
"""

import json
import subprocess
import tempfile
import time
from pathlib import Path

from drills.containers import IMAGE, Container, container, podman
from drills.programs import binary, ready
from drills.server import free_port
from drills.waiting import wait_until

MB = 1_000_000
STARTS = 3
START_SECONDS = 120
API = {"ENVIRONMENT": "local", "JOBS": "off", "HOST": "127.0.0.1"}


def layers() -> list[tuple[str, float, float]]:
    """What made each layer, and its size in MB: on disk, and compressed, as it is pulled."""
    history = json.loads(podman("image", "inspect", IMAGE).stdout)[0]["History"]
    made = [step["created_by"] for step in history if not step.get("empty_layer")]
    sizes = []
    for options in (["--disable-compression"], []):
        with tempfile.TemporaryDirectory() as folder:
            command = [binary("buildah"), "push", "--quiet", *options, IMAGE, f"dir:{folder}"]
            subprocess.run(command, check=True, capture_output=True)
            manifest = json.loads((Path(folder) / "manifest.json").read_text())
            sizes.append([layer["size"] / MB for layer in manifest["layers"]])
    return list(zip(made, *sizes, strict=True))


def memory(made: Container) -> float:
    """MB of all its processes, with what they share counted once (PSS)."""
    script = "cat /proc/[0-9]*/smaps_rollup | awk '/^Pss:/ {kib += $2} END {print kib}'"
    return int(made.execute("sh", "-c", script).stdout) * 1024 / MB


def started(folder: Path) -> tuple[float, float, float]:
    """Seconds until /ready is green and from SIGTERM to the end; MB in between."""
    port = free_port()
    begun = time.monotonic()
    with container(folder, **API, PORT=port) as made:
        wait_until(lambda: ready(f"http://127.0.0.1:{port}", "/ready"), "ready", START_SECONDS)
        until_ready = time.monotonic() - begun
        used = memory(made)
        begun = time.monotonic()
        if made.terminate():
            raise RuntimeError(made.log())
        return until_ready, time.monotonic() - begun, used


def main() -> None:
    """Print both tables."""
    print("| layer | MB | MB to pull |\n| --- | --- | --- |")
    found = layers()
    for made, size, compressed in found:
        print(f"| `{made.removeprefix('/bin/sh -c ')[:60]}` | {size:.0f} | {compressed:.0f} |")
    print(f"| all | {sum(row[1] for row in found):.0f} | {sum(row[2] for row in found):.0f} |\n")
    with tempfile.TemporaryDirectory() as folder:
        runs = [started(Path(folder)) for _ in range(STARTS)]
    for name, figures in zip(
        ("s to a green /ready", "s from SIGTERM to the end", "MB when ready"),
        zip(*runs, strict=True),
        strict=True,
    ):
        print(f"{name}: " + ", ".join(f"{figure:.1f}" for figure in sorted(figures)))


if __name__ == "__main__":
    main()
