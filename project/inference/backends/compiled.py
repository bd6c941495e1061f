"""Finds the compiled nets of a model in the cache, or has them converted by a child process.

A worker that finds them never builds the nets, and so never imports torch. Native code can crash on
a net or a processor that it does not know; a child that dies costs this backend, not the worker.

The cache has a folder for each combination of code, weights, versions and processor features. It
holds the nets as compiled for each precision, which loads six times as fast as it compiles, and the
outputs that torch gives for the samples.
"""

import fcntl
import hashlib
import io
import json
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from loguru import logger

from project.errors import BackendUnavailable
from project.inference.backends.nets import Outputs, Samples
from project.models import base, nets
from project.models.base import NO_WEIGHTS, BatchModel

REQUEST, EXPECTED, VERDICT = "request.json", "expected.npz", "verdict.json"
CONVERT_SECONDS = 600.0
ROOT = Path(__file__).parents[3]  # where the child finds this package
CONVERT = (sys.executable, "-m", "project.inference.backends.convert")  # the child's command
# What a net is compiled for. Other flags differ among hosts of one kind, and from boot to boot.
_VECTOR_FLAGS = re.compile(r"\b(?:sse|avx|amx|fma|f16c|asimd|sve|bf16|i8mm)\w*")

Convert = Callable[[Path], None]  # see convert_in_child


@dataclass(frozen=True)
class CompiledNets:
    """What the child made of the nets of a model.

    expected: name of a net → torch's outputs for its samples. nets: precision → name → the compiled
    net, of the precisions in which all outputs are equal. refused: precision → why it is not
    served. converted: just now.
    """

    expected: Outputs
    nets: Mapping[str, Mapping[str, bytes]]
    refused: Mapping[str, str]
    converted: bool


def compiled_nets(
    model: BatchModel[Any, Any, Any], key: str, cache: Path, convert: Convert
) -> CompiledNets:
    """The compiled nets of a model, from the cache or converted now.

    key: see key_of. cache: the folder. convert: see convert_in_child. Raises BackendUnavailable
    where one cannot be converted.
    """
    if "<" in type(model).__qualname__:
        raise BackendUnavailable(f"a child cannot import {type(model).__qualname__}")
    entry = cache / key
    with _locked(cache, entry.name):
        found = read_entry(entry)
        if found is None:
            with tempfile.TemporaryDirectory() as folder:
                work = Path(folder)
                request = {
                    "module": type(model).__module__,
                    "class": type(model).__qualname__,
                    "name": model.name,
                    "source": model.source,
                }
                (work / REQUEST).write_text(json.dumps(request))
                convert(work)
                found = read_entry(work, converted=True)
                _store(work, entry)
    if found is None:
        raise BackendUnavailable("what was converted cannot be read")
    return found


def is_hashable(model: BatchModel[Any, Any, Any]) -> bool:
    """Whether the files of its weights say all about its nets."""
    return model.source is None and (bool(model.weights.files) or model.weights is NO_WEIGHTS)


def key_of(model: BatchModel[Any, Any, Any], samples: Samples, state: str = "") -> str:
    """The hash of all that the compiled nets of a model depend on.

    The weights, the code, the samples, all installed packages, and the processor: it errs to one
    conversion too many, as a stale net would answer wrongly. state: of a net whose weights are no
    files.
    """
    digest = hashlib.sha256()
    folders = (Path(str(module.__file__)).parent for module in (base, nets))
    sources = [file for folder in (*folders, Path(__file__).parent) for file in folder.glob("*.py")]
    own = [sys.modules[kind.__module__] for kind in type(model).__mro__]
    files = {Path(file) for module in own if (file := getattr(module, "__file__", None))}
    weights = model.weights.paths if is_hashable(model) else ()
    for path in (*weights, *sorted(sources), *sorted(files)):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    facts = (
        type(model).__qualname__,
        model.source or "",
        state,
        *model.precisions,
        sys.version,
        _processor_features(),
        *_installed(),
    )
    for fact in facts:
        digest.update(f"{fact}\0".encode())
    for name, given in samples.items():
        for array in given:
            digest.update(f"{name}{array.shape}{array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]


def _installed() -> list[str]:
    """The name and version of every installed package."""
    folders = (Path(folder) for folder in sys.path if folder)
    return sorted({item.name for folder in folders for item in folder.glob("*.dist-info")})


def _processor_features() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return " ".join(sorted(set(_VECTOR_FLAGS.findall(flags))))


@contextmanager
def _locked(cache: Path, name: str) -> Iterator[None]:
    """One process converts; its siblings wait, then find the result in the cache.

    Where the cache cannot be written there is nothing to find, so no process waits.
    """
    with ExitStack() as stack:
        with suppress(OSError):
            cache.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context((cache / f"{name}.lock").open("w"))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def file_of(precision: str, net: str) -> str:
    """The name of the file that holds a compiled net."""
    return f"{precision}.{net}"


def read_entry(entry: Path, *, converted: bool = False) -> CompiledNets | None:
    """What a folder holds; None where it is missing or damaged."""
    try:
        verdict = json.loads((entry / VERDICT).read_text())
        content = {name: (entry / name).read_bytes() for name in verdict["checksums"]}
        for name, checksum in verdict["checksums"].items():
            if hashlib.sha256(content[name]).hexdigest() != checksum:
                return None
        with np.load(io.BytesIO(content.pop(EXPECTED)), allow_pickle=False) as arrays:
            expected = dict(arrays)
        nets: dict[str, dict[str, bytes]] = {}
        for file, net in content.items():
            precision, _, name = file.partition(".")
            nets.setdefault(precision, {})[name] = net
        return CompiledNets(expected, nets, dict(verdict["refused"]), converted)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile):
        return None


def write_verdict(work: Path, names: Sequence[str], refused: Mapping[str, str]) -> None:
    """In the child: complete a folder. names: of the files that it holds. refused: see above."""
    checksums = {name: hashlib.sha256((work / name).read_bytes()).hexdigest() for name in names}
    (work / VERDICT).write_text(json.dumps({"checksums": checksums, "refused": dict(refused)}))


def _store(work: Path, entry: Path) -> None:
    """Store the whole entry or nothing; without room on the disk the next start converts again."""
    part = entry.with_suffix(".part")
    try:
        for folder in (part, entry):
            shutil.rmtree(folder, ignore_errors=True)
        part.mkdir()
        names = json.loads((work / VERDICT).read_text())["checksums"]
        for name in (*names, VERDICT):
            shutil.copy(work / name, part / name)
        part.rename(entry)
    except (OSError, ValueError, KeyError) as error:
        shutil.rmtree(part, ignore_errors=True)
        logger.bind(reason=str(error)).warning("converted_net_not_kept")


def convert_in_child(work: Path, command: Sequence[str] = CONVERT) -> None:
    """Convert the nets of the request in a folder; the results are in the folder.

    command: of the child, which gets the folder's path. Raises BackendUnavailable where the child
    fails, crashes or takes too long.
    """
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            [*command, str(work)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=CONVERT_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise BackendUnavailable(f"took longer than {CONVERT_SECONDS:g} s to convert") from error
    if done.returncode:
        last = "".join(done.stderr.strip().splitlines()[-1:])
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"status {done.returncode}"
        raise BackendUnavailable(f"the conversion ended with {how}: {last}")
