"""Any fleet and any history for the router, and a record of what it may never do."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from ai.routing import Router, RoutingPolicy, Waiting

CHECKPOINTS = ("x", "y", "z")
Step = tuple[str, int, int]


@dataclass
class Watched:
    """A waiting request and what has started since it was its caller's oldest.

    `oldest_since` counts requests that became their caller's oldest before it.
    """

    job: Waiting
    oldest_since: int | None = None
    passed: int = 0
    most_callers: int = 0


class World:
    """A router under watch. Engines have the checkpoints of `stock`, places of `slots`."""

    def __init__(
        self, stock: Sequence[frozenset[str]], slots: Sequence[int], patience: int
    ) -> None:
        self.patience = patience
        self.slots = {f"e{n}": count for n, count in enumerate(slots[: len(stock)])}
        self.able = {
            checkpoint: frozenset(f"e{n}" for n, has in enumerate(stock) if checkpoint in has)
            for checkpoint in CHECKPOINTS
        }
        self.router = Router(RoutingPolicy(patience=patience))
        self.loaded: dict[str, str | None] = {}
        for n, has in enumerate(stock):
            self.loaded[f"e{n}"] = min(has)
            self.router.set_engine(f"e{n}", slots=slots[n], loaded=min(has))
        self.now = 0.0
        self.asked: set[int] = set()
        self.removed: set[int] = set()
        self.started: list[int] = []
        self.most_in_flight: Counter[str] = Counter()
        self.idle_beside_warm_work: list[object] = []
        self.unfair: list[object] = []
        self.starved: list[object] = []
        self._numbers = itertools.count()
        self._running: list[tuple[str, Waiting]] = []
        self._queues: dict[str, list[Watched]] = {}
        self._overtaken: dict[str, Counter[tuple[str, str]]] = {}

    # Playing.

    def play(self, history: Sequence[Step]) -> None:
        for action, first, second in history:
            if action == "ask":
                self._ask(f"c{first}", CHECKPOINTS[second % len(CHECKPOINTS)])
            elif action == "finish" and self._running:
                self._finish(first % len(self._running))
            elif action == "remove":
                self._remove(first)
            elif action == "pass":
                self.now += second
            self._start_all()

    def run_out(self) -> None:
        """Finish all there is, letting time pass where engines hold back."""
        while self._running or len(self.router):
            if self._running:
                self._finish(0)
            elif self.router.wake_at is not None:
                self.now = max(self.now, self.router.wake_at)
            self._start_all()

    def _ask(self, caller: str, checkpoint: str) -> None:
        if not self.able[checkpoint]:
            return
        number = len(self.asked)
        self.asked.add(number)
        job = Waiting(number, caller, checkpoint, (self.able[checkpoint],), 5.0, self.now)
        if caller not in self._queues:
            self._overtaken[caller] = Counter()
        self._queues.setdefault(caller, []).append(Watched(job))
        self.router.add(job)
        self._note_callers()

    def _finish(self, index: int) -> None:
        engine, job = self._running.pop(index)
        self.now += 1.0
        self.loaded[engine] = job.checkpoint
        self.router.finished(engine, job.id, self.now, loaded=job.checkpoint, learn=True)

    def _remove(self, pick: int) -> None:
        waiting = [watched.job for queue in self._queues.values() for watched in queue]
        if waiting:
            job = waiting[pick % len(waiting)]
            assert self.router.remove(job.id)
            self.removed.add(job.id)
            self._forget(job)

    # Watching.

    def _start_all(self) -> None:
        while (start := self.router.decide(self.now)) is not None:
            assert start.engine in self.able[start.job.checkpoint or ""]
            assert start.switch == (self.loaded[start.engine] != start.job.checkpoint)
            self.loaded[start.engine] = start.job.checkpoint
            self._watch(start.engine, start.job)
            self._running.append((start.engine, start.job))
            self.started.append(start.job.id)
            in_flight = sum(engine == start.engine for engine, _ in self._running)
            self.most_in_flight[start.engine] = max(self.most_in_flight[start.engine], in_flight)
        busy = Counter(engine for engine, _ in self._running)
        for queue in self._queues.values():
            for watched in queue:
                checkpoint = watched.job.checkpoint or ""
                for engine in self.able[checkpoint]:
                    if busy[engine] < self.slots[engine] and self.loaded[engine] == checkpoint:
                        self.idle_beside_warm_work.append((engine, watched.job))

    def _watch(self, engine: str, job: Waiting) -> None:
        for caller, queue in self._queues.items():
            oldest = queue[0]
            if engine not in self.able[oldest.job.checkpoint or ""]:
                continue
            if caller != job.caller and not self._has_waited_longer(job, oldest):
                self._count_overtaking(caller, oldest.job, job.caller, engine)
            if oldest.job is not job:
                oldest.passed += 1
                self._check_patience(oldest)
        self._forget(job)
        if job.caller in self._overtaken:
            self._overtaken[job.caller].clear()

    def _has_waited_longer(self, job: Waiting, than: Watched) -> bool:
        own = self._queues[job.caller][0]
        assert own.oldest_since is not None
        assert than.oldest_since is not None
        return own.job is job and own.oldest_since < than.oldest_since

    def _count_overtaking(self, caller: str, oldest: Waiting, by: str, engine: str) -> None:
        """Overtaking counts from the caller's last start, or since its oldest became that."""
        counted = self._overtaken[caller]
        counted[by, str(oldest.id)] += 1
        if counted[by, str(oldest.id)] > self._places(oldest):
            self.unfair.append((by, "overtook", oldest, engine))

    def _check_patience(self, watched: Watched) -> None:
        bound = 2 * watched.most_callers + self.patience * self._places(watched.job)
        if watched.passed > bound:
            self.starved.append((watched, bound))

    def _places(self, job: Waiting) -> int:
        return sum(self.slots[name] for name in self.able[job.checkpoint or ""])

    def _forget(self, job: Waiting) -> None:
        queue = self._queues[job.caller]
        queue[:] = [watched for watched in queue if watched.job is not job]
        if not queue:
            del self._queues[job.caller], self._overtaken[job.caller]
        self._note_callers()

    def _note_callers(self) -> None:
        for queue in self._queues.values():
            if queue[0].oldest_since is None:
                queue[0].oldest_since = next(self._numbers)
            queue[0].most_callers = max(queue[0].most_callers, len(self._queues))


def fleets() -> st.SearchStrategy[World]:
    """One to four engines, each with one to three checkpoints, one or two places."""
    stock = st.lists(
        st.frozensets(st.sampled_from(CHECKPOINTS), min_size=1), min_size=1, max_size=4
    )
    places = st.lists(st.integers(1, 2), min_size=4, max_size=4)
    return st.builds(World, stock, places, st.integers(1, 3))


def histories() -> st.SearchStrategy[list[Step]]:
    """Requests of up to five callers, mostly; ends, withdrawals, time passing in between.

    Long, and twice as many asked for as made: only where a queue has built up can a caller be
    passed over, or starve.
    """
    actions = st.sampled_from([*["ask"] * 6, *["finish"] * 3, "remove", "pass"])
    numbers = st.integers(0, 4)
    return st.lists(st.tuples(actions, numbers, numbers), min_size=100, max_size=140)
