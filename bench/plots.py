"""The plots of docs/performance.md, drawn of what the bench wrote."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "sluice"

from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402

from bench.report import read_part  # noqa: E402

_SIZE_INCHES = (7.0, 3.6)
_NO_DATE = {"Date": None}
Figures = Mapping[str, Any]


def latency(axes: Axes, figures: Figures) -> None:
    """p50, p95 and p99 of one request alone, 512x512."""
    alone = figures["512x1"]
    quantiles = ("p50", "p95", "p99")
    for place, quantile in enumerate(quantiles):
        rows = [row + (place - 1) * 0.27 for row in range(len(alone))]
        axes.barh(rows, [found[quantile] for found in alone.values()], 0.25, label=quantile)
    axes.set_yticks(range(len(alone)), list(alone))
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("ms, txt2img 512x512, one at a time")
    axes.legend()


def throughput(axes: Axes, figures: Figures) -> None:
    """Requests per second by how many are asked at a time."""
    points = sorted((int(key.split("x")[1]), key) for key in figures if key.startswith("512x"))
    for name in figures[points[0][1]]:
        served = [(n, figures[key][name]["per_s"]) for n, key in points if name in figures[key]]
        axes.plot(*zip(*[point for point in served if point[1]], strict=True), "o-", label=name)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("requests at a time, txt2img 512x512")
    axes.set_ylabel("requests/s")
    axes.legend(fontsize="small")


def pool(axes: Axes, figures: Figures) -> None:
    """Pictures per second by how many upstreams of 100 ms."""
    _beside_possible(axes, figures["upstreams"], figures["per_s"], "through the pool")


def workers(axes: Axes, figures: Figures) -> None:
    """Likewise by how many Celery workers, each with one."""
    _beside_possible(axes, figures["workers"], figures["per_s"], "through Celery workers")


def _beside_possible(
    axes: Axes, upstreams: Sequence[int], per_s: Sequence[float], label: str
) -> None:
    axes.plot(upstreams, [10 * n for n in upstreams], "--", label="possible")
    axes.plot(upstreams, per_s, "o-", label=label)
    axes.set_xlabel("upstreams of 100 ms a picture")
    axes.set_ylabel("pictures/s")
    axes.legend()


PLOTS: Mapping[str, tuple[str, Callable[[Axes, Figures], None]]] = {
    "latency": ("text-to-image", latency),
    "throughput": ("text-to-image", throughput),
    "pool": ("pool", pool),
    "workers": ("workers", workers),
}
"""By name: the part it is drawn of, and how."""


def draw(folder: Path) -> list[Path]:
    """Each plot whose part was measured, as SVG; where they are."""
    drawn = []
    for name, (part_name, plot) in PLOTS.items():
        part = read_part(part_name)
        if part is None:
            continue
        figure, axes = plt.subplots(figsize=_SIZE_INCHES, layout="constrained")
        plot(axes, part.figures)
        axes.grid(alpha=0.3)
        path = folder / f"performance-{name}.svg"
        figure.savefig(path, metadata=_NO_DATE)
        plt.close(figure)
        drawn.append(path)
    return drawn
