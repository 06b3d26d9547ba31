"""Everything measured side by side: prints tables, and writes bench/results for bench.publish.

    python -m bench [--quick] [--only PART ...]

The exit status is 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from bench import (
    allocations,
    celery_scaling,
    embedded,
    job_queue,
    kept_images,
    pool_throughput,
    routing,
    small_answers,
    text_to_image,
    uploads,
    waiting,
    watchers,
)
from bench.plan import Plan
from bench.report import Part

PARTS: Mapping[str, Callable[[Plan], Part]] = {
    "text-to-image": text_to_image.run,
    "uploads": uploads.run,
    "waiting": waiting.run,
    "kept-images": kept_images.run,
    "small-answers": small_answers.run,
    "allocations": allocations.run,
    "watchers": watchers.run,
    "pool": pool_throughput.run,
    "workers": celery_scaling.run,
    "job-queue": job_queue.run,
    "routing": routing.run,
    "embedded": embedded.run,
}


def main() -> int:
    options = _options()
    held = True
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        plan = Plan(Path(folder), quick=options.quick)
        for name in options.only or PARTS:
            began = time.monotonic()
            print(f"# {name} ...", file=sys.stderr, flush=True)
            part = PARTS[name](plan)
            print(f"{part}\n", flush=True)
            if not options.quick:
                part.write()
            print(f"# {name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            held &= all(bar.holds for bar in part.bars)
    return 0 if held else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round: to try it out")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
