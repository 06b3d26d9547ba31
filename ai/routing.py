"""Which waiting request goes to which engine next. Values in, decision out: no clock, no I/O.

An engine that is free takes, in this order:

1. a request that is overdue (below), the most senior first;
2. while it works off the burst it loaded a checkpoint for: that checkpoint's requests;
3. a request of another checkpoint whose waiting has cost more than the switch costs all
   who would wait for it;
4. a request of the checkpoint it has loaded, by its caller's turn;
5. any other, by turn, unless engines that have its checkpoint will sooner be free.

Callers take turns, and a request may pass one whose caller's turn comes before only so
often. With M the places of the engines in question:

**Fairness.** Between the time a caller's turn begins to count and the start of its next
request, every other caller starts at most M requests on engines able to serve it: one
caller's hundred queued requests delay another caller's one by one job per engine.

**No starvation.** A caller's oldest request starts after at most 2 N + P M starts of others
on its engines, whatever the mix: N is the most callers that waited at once, P `patience`.
In time that is at most (2 N / M + P + 2) x (longest job + longest switch) + R x longest
switch, R being `reluctance`: 2 N / M turns, P jobs per engine passed for the sake of
fewer switches, one in flight, and the longest an idle engine holds back.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from ai.pace import Pace
from ai.waiting import Line, LineKey, Waiting, WaitingRoom

__all__ = ["Router", "RoutingPolicy", "Start", "Waiting"]


@dataclass(frozen=True, slots=True)
class RoutingPolicy:
    """`patience`: jobs per engine that may pass a request to save switches.

    `reluctance`: how many times its cost a switch must save before it is made.
    """

    patience: int = 8
    reluctance: float = 1.0


@dataclass(frozen=True, slots=True)
class Start:
    """A decision: `job` starts on `engine` now.

    `choice` is which of the job's choices the engine belongs to, 0 the best; None where it
    spills over. `turn` is its caller's, to be given back if it has to wait again.
    """

    job: Waiting
    engine: str
    choice: int | None
    switch: bool
    turn: int


@dataclass(slots=True)
class _Run:
    job: Waiting
    began: float
    switched: bool


@dataclass(slots=True)
class _Engine:
    """`burst` is how many more it does for what waited when it loaded its checkpoint."""

    name: str
    pace: Pace
    slots: int = 0
    loaded: str | None = None
    burst: int = 0
    runs: dict[int, _Run] = field(default_factory=dict)

    @property
    def free(self) -> bool:
        return len(self.runs) < self.slots

    def is_warm_for(self, job: Waiting) -> bool:
        return job.checkpoint is None or job.checkpoint == self.loaded


@dataclass(frozen=True, slots=True)
class _Head:
    turn: int
    job: Waiting
    line: Line


class Router:
    """Keeps the waiting and the engines, and decides what starts next.

    Times are seconds of one clock, the caller's. Not to be used by several threads at once.
    `wake_at` is when `decide` may find more to start though nothing else has happened.
    """

    def __init__(self, policy: RoutingPolicy | None = None) -> None:
        self.wake_at: float | None = None
        self._policy = policy or RoutingPolicy()
        self._room = WaitingRoom()
        self._engines: dict[str, _Engine] = {}
        self._warm: Counter[str | None] = Counter()
        self._pace = Pace()
        self._freed: dict[str, None] = {}
        self._idle: dict[str, None] = {}
        self._stirred: dict[LineKey, Line] = {}

    # What happened.

    def set_engine(self, name: str, *, slots: int, loaded: str | None) -> None:
        """`name` may run `slots` requests at once, 0 while it is not usable."""
        engine = self._engines.get(name)
        if engine is None:
            engine = self._engines[name] = _Engine(name, Pace(like=self._pace))
        self._warm[engine.loaded] -= engine.slots
        engine.slots, engine.loaded = slots, loaded
        self._warm[engine.loaded] += engine.slots
        self._room.memory = sum(engine.slots for engine in self._engines.values())
        for line in self._room.lines.values():
            self._staff(line)
        self._stirred |= self._room.lines
        self._idle.pop(name, None)
        if engine.free:
            self._freed[name] = None

    def add(self, job: Waiting, *, turn: int | None = None) -> None:
        """Let `job` wait; one that waits again brings its `turn`."""
        line = self._room.add(job, turn=turn)
        if line.count == 1:
            self._staff(line)
        self._stirred[job.line_key] = line

    def replace(self, job: Waiting) -> None:
        """Others than before may serve a request that waits; its caller keeps the turn."""
        old = self._room.get(job.id)
        if old is not None and old.line_key != job.line_key:
            turn = self._room.callers[job.caller].turn
            self._room.remove(job.id)
            self.add(job, turn=turn)

    def remove(self, job_id: int) -> bool:
        """Take a request out; False when it does not wait."""
        return self._room.remove(job_id) is not None

    def finished(
        self, engine_name: str, job_id: int, now: float, *, loaded: str | None, learn: bool
    ) -> None:
        """A start has ended; `loaded` is what its engine holds now, `learn` if it went well."""
        engine = self._engines[engine_name]
        run = engine.runs.pop(job_id)
        if learn:
            engine.pace.learn(run.job.work, now - run.began, switched=run.switched)
        self._load(engine, loaded)
        if engine.free:
            self._freed[engine_name] = None

    # What to do.

    def decide(self, now: float) -> Start | None:
        """The next start, which counts as made; None when nothing more can start now."""
        if self.wake_at is not None and now >= self.wake_at:
            self.wake_at = None
            self._stirred |= self._room.lines
        while self._freed:
            engine = self._engines[self._freed.popitem()[0]]
            if engine.free:
                self._idle[engine.name] = None
                if start := self._start_on(engine, now):
                    return start
        while self._stirred:
            line = next(iter(self._stirred.values()))
            for engine in self._offers(line):
                if start := self._start_on(engine, now):
                    return start
            del self._stirred[line.key]
        return None

    def _offers(self, line: Line) -> list[_Engine]:
        """The idle engines to be asked for a line: the best that is warm, cold, spilt to."""
        if not line.count or not self._idle:
            return []
        idle = [self._engines[name] for name in self._idle if name in line.engines]
        spare = Counter(engine.loaded for engine in idle)
        warm = [e for e in idle if line.checkpoint in (None, e.loaded)]
        best = [min(warm, key=lambda engine: engine.pace.seconds_per_work)] if warm else []
        if idle and not warm:
            best.append(max(idle, key=lambda e: (spare[e.loaded], -e.pace.seconds_per_work)))
        best += [self._engines[name] for name in line.spill if name in self._idle]
        return best

    def _start_on(self, engine: _Engine, now: float) -> Start | None:
        lines = [line for line in self._room.lines.values() if engine.name in line.engines]
        if not lines:
            return self._spill(engine, now)
        job = self._overdue(lines) or self._by_turn(engine, lines, now)
        return self._begin(engine, job, now) if job else None

    def _overdue(self, lines: Iterable[Line]) -> Waiting | None:
        """The most senior request, if any has been passed as often as it may be."""
        seniors = [(senior, line) for line in lines if (senior := line.senior())]
        patience = self._policy.patience
        for senior, line in seniors:
            if line.starts - senior.starts >= senior.rivals + patience * line.places:
                return min(seniors, key=lambda pair: pair[0].number)[0].job
        return None

    def _by_turn(self, engine: _Engine, lines: Iterable[Line], now: float) -> Waiting | None:
        heads = sorted((self._head(line) for line in lines), key=lambda head: head.turn)
        warm = [head for head in heads if engine.is_warm_for(head.job)]
        best = next((head for head in warm if self._may_pass(head, heads)), None)
        if best is not None and engine.burst > 0:
            return best.job
        for head in heads:
            if (
                not engine.is_warm_for(head.job)
                and self._pays(engine, head.job, best, now)
                and self._may_pass(head, heads)
            ):
                return head.job
        if best is not None:
            return best.job
        if warm:
            return heads[0].job
        self._hold_back(engine, heads)
        return None

    def _head(self, line: Line) -> _Head:
        job = line.head()
        return _Head(self._room.callers[job.caller].turn, job, line)

    def _may_pass(self, head: _Head, heads: Iterable[_Head]) -> bool:
        """Whether its caller may be served before those whose turn comes before."""
        caller = self._room.callers[head.job.caller]
        kept_back = 0 if caller.oldest is head.job else 1
        for other in heads:
            if other.turn >= head.turn:
                return True
            allowed = other.line.places - kept_back
            if other.job.caller != head.job.caller and (
                allowed <= 0 or caller.started_since(other.turn, allowed)
            ):
                return False
        return True

    def _pays(self, engine: _Engine, job: Waiting, best: _Head | None, now: float) -> bool:
        """Whether loading a checkpoint for `job` costs less than going on without."""
        switch_s = engine.pace.switch_s * self._policy.reluctance
        others = self._clearing_s(engine, job.checkpoint)
        if best is None:
            return others > switch_s or now - job.since >= switch_s
        mine = self._clearing_s(engine, engine.loaded)
        waited_s = self._room.bursts[job.checkpoint].waited_s(now)
        delayed = self._room.bursts[engine.loaded].count / max(1, self._warm[engine.loaded])
        return others > mine + switch_s and waited_s > switch_s * (1 + delayed)

    def _clearing_s(self, engine: _Engine, checkpoint: str | None) -> float:
        """How long engines that have a checkpoint will take for what waits for it."""
        warm = self._warm[checkpoint]
        if not warm:
            return math.inf
        return engine.pace.seconds_for(self._room.bursts[checkpoint].work) / warm

    def _hold_back(self, engine: _Engine, heads: Iterable[_Head]) -> None:
        patience_s = engine.pace.switch_s * self._policy.reluctance
        again = min(head.job.since for head in heads) + patience_s
        self.wake_at = again if self.wake_at is None else min(self.wake_at, again)

    def _spill(self, engine: _Engine, now: float) -> Start | None:
        """Relieve engines whose waiting would last longer than the work here."""
        for line in self._room.lines.values():
            if engine.name in line.spill and line.choice == 0:
                job = line.newest()
                cost_s = engine.pace.seconds_for(job.work)
                if not engine.is_warm_for(job):
                    cost_s += engine.pace.switch_s
                if self._wait_s(line) > cost_s:
                    return self._begin(engine, job, now, spilt=True)
        return None

    def _wait_s(self, line: Line) -> float:
        """How long the last in a line will wait, if its engines do all that waits."""
        work = sum(burst.work for burst in self._room.bursts.values())
        paces = (self._engines[name] for name in line.engines)
        return work / sum(e.slots / e.pace.seconds_per_work for e in paces if e.slots)

    def _begin(self, engine: _Engine, job: Waiting, now: float, *, spilt: bool = False) -> Start:
        line = self._room.lines[job.line_key]
        choice = None if spilt else line.choice
        for other in self._room.lines.values():
            if engine.name in other.engines:
                other.starts += 1
        turn = self._room.start(job)
        switch = not engine.is_warm_for(job)
        if switch:
            self._load(engine, job.checkpoint)
            waiting = (
                self._room.bursts[job.checkpoint].count
                if job.checkpoint in self._room.bursts
                else 0
            )
            engine.burst = math.ceil(waiting / self._warm[job.checkpoint])
        else:
            engine.burst -= 1
        engine.runs[job.id] = _Run(job, now, switch)
        if engine.free:
            self._freed[engine.name] = None
        else:
            self._idle.pop(engine.name, None)
        return Start(job, engine.name, choice, switch, turn)

    def _load(self, engine: _Engine, checkpoint: str | None) -> None:
        self._warm[engine.loaded] -= engine.slots
        engine.loaded = checkpoint
        self._warm[checkpoint] += engine.slots

    def _staff(self, line: Line) -> None:
        """Find which of a line's choices can serve it now."""
        for number, choice in enumerate(line.choices):
            usable = frozenset(name for name in choice if self._slots(name))
            if usable:
                line.choice, line.engines = number, usable
                line.places = sum(self._slots(name) for name in usable)
                return
        line.choice, line.engines, line.places = 0, frozenset(), 0

    def _slots(self, name: str) -> int:
        return self._engines[name].slots if name in self._engines else 0

    # What can be told.

    def __len__(self) -> int:
        return len(self._room)

    def waiting_of(self, caller: str) -> int:
        return self._room.waiting_of(caller)

    @property
    def callers(self) -> int:
        """How many callers wait."""
        return len(self._room.callers)

    def queue_of(self, engine: str) -> int:
        """How many of the waiting an engine could take now."""
        return sum(
            line.count for line in self._room.lines.values() if engine in line.engines | line.spill
        )

    def position(self, job_id: int) -> int | None:
        """The place in the queue, 1 for the next, if callers simply take turns."""
        job = self._room.get(job_id)
        return None if job is None else self._room.position(job)

    def seconds_for(self, work: float) -> float:
        """What `work` takes on an engine of middling speed, by what was measured."""
        return self._pace.seconds_for(work)

    @property
    def places(self) -> int:
        """How many requests all usable engines can run at once."""
        return self._room.memory
