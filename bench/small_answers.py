"""What no engine is needed for: a refusal by a limit, health, a result made before."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from bench.contestants import sluice_with_redis
from bench.dialects import PROMPT
from bench.load import Request
from bench.plan import Plan
from bench.report import Bar, Cell, Part, Table
from bench.rounds import Entry, Read, cpu_per_request, p50, p99, per_s, take_turns
from bench.upstream import upstream
from tests.running import API

CONNECTIONS = (1, 8)
MOST_REFUSAL_MS = 2.0
REFUSED = "429"
COLUMNS = ("", "at a time", "p50 ms", "p99 ms", "requests/s", "CPU ms/request")
_AGAIN = {"prompt": PROMPT, "width": 512, "height": 512, "seed": 1}
_NEARLY_NONE = {"RATELIMIT_GENERATION": "1/hour", "TRUSTED_PROXIES": "0"}


def run(plan: Plan) -> Part:
    room = plan.room("small-answers")
    # Few callers: each has the result made once for himself.
    again = Request(f"{API}/txt2img", orjson.dumps(_AGAIN), callers=8)
    with (
        upstream(room) as source,
        sluice_with_redis(room / "open", {"SD_WEBUI_URL": source.url}) as served,
        sluice_with_redis(room / "full", {"SD_WEBUI_URL": source.url, **_NEARLY_NONE}) as full,
    ):
        entries = [
            Entry(REFUSED, full.port, (full.process.pid,), again),
            Entry("/health", served.port, (served.process.pid,), _get(f"{API}/health")),
            Entry("/health/live", served.port, (served.process.pid,), _get(f"{API}/health/live")),
            Entry("result made before", served.port, (served.process.pid,), again),
        ]
        found = {
            connections: take_turns(
                entries, connections=connections, rounds=plan.rounds, seconds=plan.seconds
            )
            for connections in CONNECTIONS
        }
    reads: tuple[Read, ...] = (p50, p99, per_s, cpu_per_request)
    rows: list[Sequence[Cell]] = [
        (name, connections, *map(one.middle, reads))
        for connections, turns in found.items()
        for name, one in turns.items()
    ]
    refusal_ms = found[1][REFUSED].middle(p50)
    bars = [Bar("ms to refuse by a limit, p50", refusal_ms, MOST_REFUSAL_MS)]
    return Part("small-answers", [Table("Answers without an engine", COLUMNS, rows)], bars)


def _get(path: str) -> Request:
    return Request(path, method="GET", headers={})
