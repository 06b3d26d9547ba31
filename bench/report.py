"""What a part of the bench found: tables, bars and figures; printed, and written as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson

from bench.machine import machine, versions
from tests.running import ROOT

RESULTS = ROOT / "bench/results"

Cell = str | float | int | None


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells; None is a figure that could not be had."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def __str__(self) -> str:
        """As Markdown, aligned so that it reads well unrendered too."""
        cells = [list(self.columns), *([shown(cell) for cell in row] for row in self.rows)]
        widths = [max(len(row[n]) for row in cells) for n in range(len(self.columns))]
        lines = [" | ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
        lines.insert(1, "-|-".join("-" * width for width in widths))
        return f"**{self.title}**\n\n" + "\n".join(f"| {line} |" for line in lines)


@dataclass(frozen=True, slots=True)
class Bar:
    """Something promised: `value` at most `bound`, or at least where `is_floor`."""

    what: str
    value: float
    bound: float
    is_floor: bool = False

    @property
    def holds(self) -> bool:
        return self.value >= self.bound if self.is_floor else self.value <= self.bound

    def __str__(self) -> str:
        verdict = "held" if self.holds else "MISSED"
        side = "at least" if self.is_floor else "at most"
        return f"{verdict:6} {self.what}: {self.value:.3g}, bar: {side} {self.bound:g}"


@dataclass(frozen=True, slots=True)
class Part:
    """`figures` are what the plots are drawn from."""

    name: str
    tables: Sequence[Table]
    bars: Sequence[Bar] = ()
    figures: dict[str, object] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def __str__(self) -> str:
        return "\n\n".join([*map(str, self.tables), *self.notes, "\n".join(map(str, self.bars))])

    def write(self) -> Path:
        """Into bench/results, with the machine and the versions."""
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{self.name}.json"
        found = {"machine": machine(), "versions": versions(), **asdict(self)}
        path.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2) + b"\n")
        return path


def read_part(name: str) -> Part | None:
    """As it was last written; None if never."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return None
    found = orjson.loads(path.read_bytes())
    return Part(
        name,
        [Table(**table) for table in found["tables"]],
        [Bar(**bar) for bar in found["bars"]],
        found["figures"],
        found["notes"],
    )


def shown(cell: Cell) -> str:
    """Three digits that count, or all before the point."""
    if cell is None:
        return "–"
    if isinstance(cell, float):
        return f"{cell:.0f}" if abs(cell) >= 100 else f"{cell:.3g}"
    return str(cell)
