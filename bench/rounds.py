"""Rounds that take turns, so that what the machine does meanwhile falls on all alike."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.load import Figures, Request, load
from bench.processes import forget_peak, usage

WARM_UP_S = 1.0
_QUIET_S = 0.2
_MOST_BUSY_SHARE = 0.1
_SETTLED_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One to be measured: who listens where, which processes pay, what is asked."""

    name: str
    port: int
    pids: tuple[int, ...]
    request: Request


@dataclass(frozen=True, slots=True)
class Round:
    """One contestant's turn. `cpu_ms` and the memory are its processes', all together."""

    figures: Figures
    cpu_ms: float
    memory_mb: float
    peak_mb: float


Read = Callable[[Round], float]
Turns = Mapping[str, "Measured"]
"""What each contestant did, by name."""


@dataclass(frozen=True, slots=True)
class Measured:
    """All rounds of one contestant, in the order of the others'."""

    rounds: Sequence[Round]

    def middle(self, read: Read) -> float:
        return statistics.median(read(one) for one in self.rounds)

    def spread(self, read: Read) -> tuple[float, float]:
        values = [read(one) for one in self.rounds]
        return min(values), max(values)

    @property
    def failed(self) -> int:
        return sum(one.figures.failed for one in self.rounds)

    @property
    def peak_mb(self) -> float:
        return max(one.peak_mb for one in self.rounds)


def per_s(one: Round) -> float:
    return one.figures.per_s


def p50(one: Round) -> float:
    return one.figures.p50_ms


def p95(one: Round) -> float:
    return one.figures.p95_ms


def p99(one: Round) -> float:
    return one.figures.p99_ms


def cpu_per_request(one: Round) -> float:
    return one.cpu_ms / max(1, one.figures.requests)


def take_turns(entries: Sequence[Entry], *, connections: int, rounds: int, seconds: float) -> Turns:
    """By name, `rounds` turns of each after one to warm up."""
    for entry in entries:
        _turn(entry, connections, min(WARM_UP_S, seconds))
    found: dict[str, list[Round]] = {entry.name: [] for entry in entries}
    for number in range(rounds):
        # The other way round every second time: none always runs after the heaviest.
        for entry in entries if number % 2 == 0 else reversed(entries):
            found[entry.name].append(_turn(entry, connections, seconds))
    return {name: Measured(turns) for name, turns in found.items()}


def ratio(one: Measured, other: Measured, read: Read) -> float:
    """The median of the ratios in each round; endless where `other` did nothing."""
    pairs = zip(one.rounds, other.rounds, strict=True)
    return statistics.median(read(a) / read(b) if read(b) else math.inf for a, b in pairs)


def added(one: Measured, floor: Measured, read: Read) -> float:
    """What `one` has more than `floor` has."""
    return one.middle(read) - floor.middle(read)


def _turn(entry: Entry, connections: int, seconds: float) -> Round:
    forget_peak(*entry.pids)
    before = usage(*entry.pids)
    figures = load(entry.port, entry.request, connections=connections, seconds=seconds)
    after = usage(*entry.pids)
    _settle(entry.pids)
    cpu_ms = (usage(*entry.pids).cpu_s - before.cpu_s) * 1000
    return Round(figures, cpu_ms, after.memory_mb, after.peak_mb)


def _settle(pids: tuple[int, ...]) -> None:
    """Wait while it still works for callers who have left."""
    deadline = time.monotonic() + _SETTLED_WITHIN_S
    before = usage(*pids).cpu_s
    while time.monotonic() < deadline:
        time.sleep(_QUIET_S)
        now = usage(*pids).cpu_s
        if now - before <= _MOST_BUSY_SHARE * _QUIET_S:
            return
        before = now
