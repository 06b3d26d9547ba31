"""txt2img through everything people would put there, beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from bench import contestants
from bench.comparison import comparison_table, figures_of
from bench.contestants import DIRECT, LITELLM, NGINX, PLAIN, SLUICE, Contestant
from bench.plan import Plan
from bench.report import Bar, Part
from bench.rounds import Entry, Turns, added, p50, p99, per_s, ratio, take_turns
from bench.upstream import Upstream, upstream

CONNECTIONS = {512: (1, 8, 64, 512), 1024: (1, 8)}
"""By the side of the picture in pixels."""
MOST_ADDED_MS = {512: 3.0, 1024: 8.0}
MOST_OF_LITELLM = 0.25
"""Of what it adds to the latency of one request alone."""
LEAST_TIMES = {LITELLM: 6.0, PLAIN: 40.0, NGINX: 0.4}
"""Requests per second at 8 connections, in times of theirs."""
MOST_P99_OVER_P50 = 4.0
MANY = 512

Found = Mapping[tuple[int, int], Turns]
"""By side and connections."""


def run(plan: Plan) -> Part:
    room = plan.room("text-to-image")
    found: dict[tuple[int, int], Turns] = {}
    with upstream(room) as source, _everybody(source, plan) as rivals:
        for side, counts in CONNECTIONS.items():
            source.make(side)
            for connections in counts:
                found[side, connections] = take_turns(
                    [
                        Entry(rival.name, rival.port, (rival.pid,), rival.text_to_image(side))
                        for rival in rivals
                        if connections <= rival.most_connections
                    ],
                    connections=connections,
                    rounds=plan.rounds,
                    seconds=plan.seconds * (4 if connections >= MANY else 1),
                )
    tables = [
        comparison_table(f"txt2img {side}x{side}, {connections} at a time", connections, turns)
        for (side, connections), turns in found.items()
    ]
    figures: dict[str, object] = {f"{s}x{n}": figures_of(turns) for (s, n), turns in found.items()}
    return Part("text-to-image", tables, _bars(found), figures)


@contextmanager
def _everybody(source: Upstream, plan: Plan) -> Iterator[list[Contestant]]:
    folder = plan.room("contestants")
    with ExitStack() as stack:
        yield [
            *stack.enter_context(contestants.direct(source)),
            *stack.enter_context(contestants.nginx_proxy(source, folder)),
            *stack.enter_context(contestants.litellm(source, folder)),
            *stack.enter_context(contestants.plain_flask(source, folder)),
            *stack.enter_context(contestants.bare_flask(source, folder)),
            *stack.enter_context(contestants.sluice(source, folder)),
        ]


def _bars(found: Found) -> list[Bar]:
    bars = []
    for side, most_ms in MOST_ADDED_MS.items():
        alone_ms = added(found[side, 1][SLUICE], found[side, 1][DIRECT], p50)
        bars.append(Bar(f"ms added alone, p50, {side}x{side}", alone_ms, most_ms))
    return [*bars, *_bars_beside_rivals(found), *_bars_of_many(found[512, MANY])]


def _bars_beside_rivals(found: Found) -> list[Bar]:
    alone, eight = found[512, 1], found[512, 8]
    bars = []
    if LITELLM in alone:
        ours, theirs = (added(alone[name], alone[DIRECT], p50) for name in (SLUICE, LITELLM))
        bars.append(Bar("of what LiteLLM adds alone", ours / theirs, MOST_OF_LITELLM))
    for rival, least in LEAST_TIMES.items():
        if rival in eight:
            times = ratio(eight[SLUICE], eight[rival], per_s)
            bars.append(Bar(f"times {rival}'s requests/s at 8", times, least, is_floor=True))
    return bars


def _bars_of_many(turns: Turns) -> list[Bar]:
    middle, late = (added(turns[SLUICE], turns[DIRECT], quantile) for quantile in (p50, p99))
    return [
        Bar(f"p99 over p50 added, {MANY} at a time", late / middle, MOST_P99_OVER_P50),
        Bar(f"requests failed, {MANY} at a time", turns[SLUICE].failed, 0),
    ]
