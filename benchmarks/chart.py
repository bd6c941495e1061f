"""The chart of requests a second at 16 callers, in the environment of requirements.txt.

Reads the throughput part of the results from stdin; the argument is the SVG to write.
"""

import json
import statistics
import sys
from typing import Any

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams |= {"svg.hashsalt": "throughput", "font.family": "sans-serif", "font.size": 10}
from matplotlib import pyplot as plt  # noqa: E402 - the backend is chosen first

MODES = {"eager": "torch as it is", "compiled": "fastest backend"}
COLOURS = {"eager": "#9aa7b5", "compiled": "#1f6feb"}
LINES = {"eager": "#57606a", "compiled": "#0a3069"}
PRODUCT = "vitrine"
HEIGHT = 0.38


def _variants(name: str, names: list[str]) -> str:
    """`litserve-batching` counts for `litserve`."""
    return min((other for other in names if name.startswith(other)), key=len)


def best(found: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Subject → mode → requests a second; of a peer's variants the best."""
    names = [row.split("/")[0] for row in found["rows"]]
    rates: dict[str, dict[str, float]] = {}
    for row, content in found["rows"].items():
        name, mode = row.split("/")
        cells = content["cells"].get("16", [])
        if cells:
            rate = statistics.median(cell["requests_per_second"] for cell in cells)
            modes = rates.setdefault(_variants(name, names), {})
            modes[mode] = max(rate, modes.get(mode, 0))
    return rates


def draw(found: dict[str, Any], path: str) -> None:
    """Two bars a subject, the slowest at the foot, and a line a mode for the limit."""
    rates = best(found)
    order = sorted(rates, key=lambda name: (name == PRODUCT, max(rates[name].values())))
    figure, axes = plt.subplots(figsize=(8, 0.8 + 0.62 * len(order)), layout="constrained")
    for place, (mode, title) in enumerate(MODES.items()):
        offset = (place - 0.5) * HEIGHT
        at = [row + offset for row, name in enumerate(order) if mode in rates[name]]
        values = [rates[name][mode] for name in order if mode in rates[name]]
        bars = axes.barh(at, values, HEIGHT * 0.92, color=COLOURS[mode], label=title)
        axes.bar_label(bars, fmt="%.0f", padding=3, fontsize=8, color="#24292f")
        limit = statistics.median(item["requests_per_second"] for item in found["limit"][mode])
        axes.axvline(limit, color=LINES[mode], linestyle="--", linewidth=1)
        axes.annotate(
            f"limit {limit:.0f}",
            (limit, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=LINES[mode],
        )
    axes.set_yticks(range(len(order)), order)
    axes.get_yticklabels()[-1].set_fontweight("bold")
    axes.set_xlabel("requests a second with 16 callers")
    axes.margins(x=0.08)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncol=2, frameon=False, fontsize=9)
    figure.savefig(path, facecolor="white", metadata={"Date": None})


if __name__ == "__main__":
    draw(json.load(sys.stdin), sys.argv[1])
