"""The table that sets contestants beside each other, and the figures the plots are drawn from."""

from __future__ import annotations

from bench.contestants import DIRECT
from bench.report import Cell, Table, shown
from bench.rounds import Measured, Turns, added, cpu_per_request, p50, p95, p99, per_s

COLUMNS = (
    "",
    "added p50 ms",
    "p95",
    "p99",
    "requests/s",
    "spread",
    "CPU ms/request",
    "peak MB",
    "failed",
)
QUANTILES = (p50, p95, p99)


def comparison_table(title: str, connections: int, turns: Turns) -> Table:
    """Latencies added to those of "direct", whose own stand in brackets."""
    rows = [_row(name, one, turns[DIRECT], connections) for name, one in turns.items()]
    return Table(title, COLUMNS, rows)


def figures_of(turns: Turns) -> dict[str, dict[str, float]]:
    """By contestant, medians."""
    reads = {"p50": p50, "p95": p95, "p99": p99, "per_s": per_s, "cpu_ms": cpu_per_request}
    return {
        name: {key: one.middle(read) for key, read in reads.items()} | {"peak_mb": one.peak_mb}
        for name, one in turns.items()
    }


def _row(name: str, one: Measured, direct: Measured, connections: int) -> list[Cell]:
    least, most = one.spread(per_s)
    return [
        name,
        *_latencies(name, one, direct, connections),
        one.middle(per_s),
        f"{shown(least)}-{shown(most)}",
        one.middle(cpu_per_request),
        one.peak_mb,
        one.failed,
    ]


def _latencies(name: str, one: Measured, direct: Measured, connections: int) -> list[Cell]:
    if name == DIRECT:
        return [f"({shown(one.middle(quantile))})" for quantile in QUANTILES]
    # Where a round ended before all were served once, those who were had luck.
    if min(turn.figures.requests for turn in one.rounds) < connections:
        return [None] * len(QUANTILES)
    return [added(one, direct, quantile) for quantile in QUANTILES]
