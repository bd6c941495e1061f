"""The machine and the versions of a measurement."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.processes import NotRunnable
from benchmarks.subjects import PEER_LIST, PEERS
from benchmarks.venvs import python_of, version_in
from project.resources import read_resources

PACKAGES = ("torch", "openvino", "fastapi", "gunicorn", "uvicorn", "numpy", "pillow")
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")


def machine() -> dict[str, Any]:
    """Processor, usable cores, memory, and the instruction sets that matter for nets."""
    text = Path("/proc/cpuinfo").read_text()
    lines = (line.partition(":") for line in text.splitlines())
    fields = {name.strip(): value.strip() for name, _, value in lines}
    found = read_resources()
    return {
        "processor": fields.get("model name", platform.processor()),
        "cores": found.whole_processors,
        "memory_bytes": found.memory_bytes,
        "flags": [flag for flag in FLAGS if flag in fields.get("flags", "").split()],
        "kernel": platform.release(),
    }


def versions(names: list[str]) -> dict[str, str]:
    """Versions of the product's dependencies, and of these peers where they are installed."""
    found = {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}
    for peer in PEER_LIST:
        if peer.name in names:
            try:
                python = python_of(peer.folder, PEERS / peer.folder / "requirements.txt")
                found[peer.folder] = version_in(python, peer.folder)
            except NotRunnable:
                found[peer.folder] = "not installed"
    return found
