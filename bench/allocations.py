"""Memory that one request allocates in big pieces: the copies made of its picture.

The C library is told to have every piece above 256 KiB from the system by a call of its own,
and strace counts those: the same on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import requests

from bench import contestants
from bench.contestants import Contestant
from bench.plan import Plan
from bench.processes import family
from bench.report import Cell, Part, Table
from bench.tracing import MMAP_ABOVE, Trace, traced
from bench.upstream import SIDES, upstream

REQUESTS = 10
WARM_UP = 5
BIG_BYTES = 262_144
COLUMNS = ("", "picture", "pieces", "MB in all", "system calls")


def run(plan: Plan) -> Part:
    room = plan.room("allocations")
    rows: list[Sequence[Cell]] = []
    with upstream(room) as source, ExitStack() as stack:
        served = [
            *stack.enter_context(contestants.litellm(source, room, MMAP_ABOVE)),
            *stack.enter_context(contestants.plain_flask(source, room, MMAP_ABOVE)),
            *stack.enter_context(contestants.sluice(source, room, MMAP_ABOVE)),
        ]
        for side in SIDES:
            source.make(side)
            for each in served:
                trace = _traced(each, side, plan)
                pieces = trace.allocations(BIG_BYTES)
                row = (len(pieces), sum(pieces) / 1e6, trace.steady())
                rows.append((each.name, f"{side}x{side}", *(n / REQUESTS for n in row)))
    title = "Allocated by one txt2img, in pieces above 256 KiB"
    return Part("allocations", [Table(title, COLUMNS, rows)])


def _traced(each: Contestant, side: int, plan: Plan) -> Trace:
    _ask(each, side, WARM_UP)
    with traced(family(each.pid)[-1], plan.folder / "calls.txt") as trace:
        _ask(each, side, REQUESTS)
    return trace


def _ask(each: Contestant, side: int, times: int) -> None:
    request = each.text_to_image(side)
    with requests.Session() as session:
        session.trust_env = False
        for _ in range(times):
            session.post(
                f"http://127.0.0.1:{each.port}{request.path}",
                data=request.body,
                headers=dict(request.headers),
                timeout=120,
            ).raise_for_status()
