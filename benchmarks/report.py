"""From results.json to docs/performance.md and its chart: `python -m benchmarks.report`."""

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

from benchmarks import targets
from benchmarks.paths import RESULTS, ROOT
from benchmarks.report_operations import SECTIONS
from benchmarks.sections import PAGE, join_sections, read_sections
from benchmarks.stats import median
from benchmarks.subjects import MODES, NAMES, PRODUCT
from benchmarks.tables import Lines, spread, table
from benchmarks.venvs import python_of

CHART = Path("images") / "throughput.svg"  # beside the page
TITLES = {"compiled": "The fastest backend for all", "eager": "Torch as it is"}
CLIENTS = ("1", "4", "16", "64")


def render(results: dict[str, Any], page: Path) -> None:
    """Write the page and, where there is something to draw, the chart."""
    parts = [_head(results), _targets(results)]
    if "throughput" in results:
        _draw(results["throughput"], page.parent / CHART)
        parts.append(_throughput(results))
    parts += [section(results[name]) for name, section in SECTIONS.items() if name in results]
    page.parent.mkdir(parents=True, exist_ok=True)
    lines = "\n".join(line for part in parts for line in part)
    page.write_text(join_sections(lines, read_sections(page)), encoding="utf-8")


def _draw(throughput: dict[str, Any], chart: Path) -> None:
    chart.parent.mkdir(parents=True, exist_ok=True)
    python = python_of("report", Path(__file__).parent / "requirements.txt")
    command = [str(python), "-m", "benchmarks.chart", str(chart.absolute())]
    subprocess.run(command, cwd=ROOT, input=json.dumps(throughput), text=True, check=True)


def _head(results: dict[str, Any]) -> Lines:
    machine, runs = results["machine"], results["runs"]
    flags = ", ".join(machine["flags"]) or "none of the instructions that matter here"
    memory = machine["memory_bytes"] / 2**30
    versions = ", ".join(f"{name} {value}" for name, value in results["versions"].items())
    yield from ("# Performance", "")
    yield from ("Written by `make bench`; every figure was measured on this one machine.", "")
    yield (
        f"- Machine: {machine['processor']}, {machine['cores']} cores, {memory:.0f} GiB; "
        f"{flags}; Linux {machine['kernel']}"
    )
    yield f"- Versions: {versions}"
    for run in dict.fromkeys(runs.values()):
        yield f"- Run {run}: {', '.join(name for name in runs if runs[name] == run)}"
    yield from ("- Load: one photo of 640 x 427 pixels, the client on the same cores", "")


def _targets(results: dict[str, Any]) -> Lines:
    rows = []
    for target in targets.TARGETS:
        figure = target.reached(results)
        bound = f"{target.sign} {target.bound:g}{target.unit}"
        if figure is None:
            rows.append((target.text, bound, "not measured", ""))
        else:
            holds = "yes" if target.holds(figure) else "no"
            rows.append((target.text, bound, f"{figure:.3g}{target.unit}", holds))
    yield from ("## Targets", "")
    yield from table(("what", "target", "reached", "holds"), rows)


def _throughput(results: dict[str, Any]) -> Lines:
    found = results["throughput"]
    yield from ("## Throughput", "")
    yield from (f"![Requests a second with 16 clients]({CHART.as_posix()})", "")
    yield (
        f"Requests a second by the number of clients: the median of {found['rounds']} rounds of "
        f"{found['seconds']:g} s a cell, with the least and the most; latencies in milliseconds. "
        "The limit is the same steps in plain loops, one process a core, without a server. "
        "A peer's best variant counts as the peer. The last cell of the limit's row is what a "
        "server that costs nothing would reach without batches. Requests that would wait "
        "longer than QUEUE_SECONDS are rejected, as can happen with 64 clients; they do not "
        "count as served."
    )
    yield ""
    for mode in MODES:
        limit = targets.limit(results, mode)
        best = max(targets.best_of(results, mode).values(), default=None)
        limits = found["limit"][mode]
        loops = spread([item["requests_per_second"] for item in limits])
        alone = f"{targets.limit(results, mode, 'p50') * 1000:.1f}"
        rows: list[tuple[str, ...]]
        rows = [("limit", "", "", loops, "", alone, "", "1.00", _share(limit, best))]
        rows += [
            _subject(results, name, mode, limit, best)
            for name in NAMES
            if f"{name}/{mode}" in found["rows"]
        ]
        yield from (f"### {TITLES[mode]} ({limits[0]['backend']})", "")
        head = ("subject", *CLIENTS, "p50 at 1", "p99 at 16", "16 / limit", "16 / best peer")
        yield from table(head, rows)


def _subject(
    results: dict[str, Any], name: str, mode: str, limit: float, best: float | None
) -> tuple[str, ...]:
    row = results["throughput"]["rows"][f"{name}/{mode}"]
    label = f"**{name}**" if name == PRODUCT else name
    cells = row["cells"]
    if not cells:
        return (label, f"could not be run: {row['failed']}", *[""] * 7)
    rates = [
        spread([item["requests_per_second"] for item in cells[clients]]) for clients in CLIENTS
    ]
    failed = sum(int(item["bad"] + item["broken"]) for group in cells.values() for item in group)
    label += f" ({failed} rejected or failed)" if failed else ""
    p50 = median(item["p50"] for item in cells["1"]) * 1000
    p99 = median(item["p99"] for item in cells["16"]) * 1000
    full = targets.rate(results, f"{name}/{mode}")
    return (label, *rates, f"{p50:.1f}", f"{p99:.0f}", _share(full, limit), _share(full, best))


def _share(rate: float, whole: float | None) -> str:
    return f"{rate / whole:.2f}" if whole else ""


def main() -> None:
    """Write the page of results that are there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, default=PAGE)
    given = parser.parse_args()
    render(json.loads(given.results.read_text(encoding="utf-8")), given.page)
    print(given.page)


if __name__ == "__main__":
    main()
