"""Writes what the bench found into docs/performance.md, and draws its plots beside it.

    python -m bench.publish docs/performance.md

What stands between `<!-- PART -->` and `<!-- /PART -->` is replaced; all else is by hand.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import orjson

from bench.plots import draw
from bench.report import RESULTS, Bar, read_part
from bench.smoke import baseline

_PLACE = re.compile(r"(<!-- ([a-z-]+) -->\n).*?(<!-- /\2 -->)", re.DOTALL)
BARS = "bars"
MACHINE = "machine"
COUNTS = "counts"


def published(text: str) -> str:
    """`text` with each part's tables where they belong; as before where it was not measured."""

    def fill(place: re.Match[str]) -> str:
        found = _content(place[2])
        return place[0] if found is None else f"{place[1]}\n{found}\n\n{place[3]}"

    return _PLACE.sub(fill, text)


def _content(name: str) -> str | None:
    if name == BARS:
        return _all_bars()
    if name == MACHINE:
        return _machine()
    if name == COUNTS:
        return "\n".join(f"- {key.replace('_', ' ')}: {n:g}" for key, n in baseline().items())
    part = read_part(name)
    return None if part is None else "\n\n".join([*map(str, part.tables), *part.notes])


def _all_bars() -> str:
    lines = ["| | bar | found | |", "|-|-|-|-|"]
    for path in sorted(RESULTS.glob("*.json")):
        part = read_part(path.stem)
        lines += map(_bar_line, part.bars if part else ())
    return "\n".join(lines)


def _bar_line(bar: Bar) -> str:
    side = "at least" if bar.is_floor else "at most"
    verdict = "held" if bar.holds else "**missed**"
    return f"| {bar.what} | {side} {bar.bound:g} | {bar.value:.3g} | {verdict} |"


def _machine() -> str | None:
    """Where and of what the comparison was made."""
    path = RESULTS / "text-to-image.json"
    if not path.exists():
        return None
    found = orjson.loads(path.read_bytes())
    where = "; ".join(f"{name} {value}" for name, value in found["machine"].items())
    made_of = ", ".join(f"{name} {value}" for name, value in found["versions"].items())
    return f"{where}.\n\n{made_of}."


def main() -> None:
    path = Path(sys.argv[1])
    draw(path.parent)
    path.write_text(published(path.read_text()))


if __name__ == "__main__":
    main()
