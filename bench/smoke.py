"""Counts of what a request costs beside those of bench/baseline.json: none may grow.

python -m bench.smoke            exit status 1 when one has grown
python -m bench.smoke --accept   what is counted now is the baseline from here on
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import orjson

from bench.counts import count

BASELINE = Path(__file__).with_name("baseline.json")
TOLERANCE = 0.1
SLACK = 0.25
"""A count may exceed its baseline by this share and so many: some work is done off the road."""


def grown(found: Mapping[str, float], baseline: Mapping[str, float]) -> list[str]:
    """What has grown, or was never counted, each in words."""
    return [
        f"{name}: {value:.2f} a request, {baseline.get(name, 0):.2f} before"
        for name, value in found.items()
        if value > baseline.get(name, 0) * (1 + TOLERANCE) + SLACK
    ]


def baseline() -> dict[str, float]:
    return dict(orjson.loads(BASELINE.read_bytes()))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.smoke", description=__doc__)
    parser.add_argument("--accept", action="store_true")
    accept = parser.parse_args().accept
    found = count()
    if accept:
        rounded = {name: round(value, 2) for name, value in found.items()}
        BASELINE.write_bytes(orjson.dumps(rounded, option=orjson.OPT_INDENT_2) + b"\n")
    before = baseline()
    for name, value in found.items():
        print(f"{name:22} {value:8.2f} a request (baseline {before.get(name, 0):.2f})")
    worse = grown(found, before)
    for line in worse:
        print(f"GROWN {line}")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
