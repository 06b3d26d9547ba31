"""Which waiting request goes to which engine next. Values in, decision out: no clock, no I/O.

An engine with a free place takes, of the requests that it may serve:

1. one that is overdue (below), the most senior first;
2. one of the checkpoint it has loaded, by its caller's turn;
3. one of another checkpoint, where most wait for the fewest engines first, once waiting
   costs more than switching: when what waits would keep the engines that have the
   checkpoint busy for longer than `reluctance` switches last, or has waited for as long.

So requests of one checkpoint that wait together share one switch. Callers take turns, and
a request may pass others whose turn comes before only within bounds. With M the places of
the engines able to serve the one passed:

**Fairness.** From when a request is its caller's oldest, or when that caller last had a turn,
every other caller starts at most M requests on engines able to serve it before it starts,
beside one that has waited for longer: one caller's hundred queued requests delay another
caller's one by one job per engine.

**No starvation.** From when a request is its caller's oldest, others start on engines able
to serve it at most 2 N + P M times before it does, whatever the mix: N is the most callers
that waited at once, P `patience`. In time that is at most

    (2 N / M + P + 2) x (longest job + longest switch) + reluctance x longest switch

for turns, passing, what was in flight, and an idle engine's holding back. Both hold
while the engines stay the same; when some go, M is what is left.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ai.fleet import Fleet, FleetEngine, Run
from ai.waiting import Choices, Head, Line, LineKey, Waiting, WaitingRoom

__all__ = ["Router", "RoutingPolicy", "Start", "Waiting"]


@dataclass(frozen=True, slots=True)
class RoutingPolicy:
    """`patience`: jobs per engine that may pass a request to save switches.

    `reluctance`: how many switches' time waiting must cost before one is made; 2 stands
    for there and back.
    """

    patience: int = 8
    reluctance: float = 2.0


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


class Router:
    """Keeps the waiting and the engines, and decides what starts next.

    Times are seconds of one clock, the caller's. Not to be used by several threads at once.
    `wake_at` is when `decide` may find more to start though nothing else has happened.
    """

    def __init__(self, policy: RoutingPolicy | None = None) -> None:
        self.wake_at: float | None = None
        self._policy = policy or RoutingPolicy()
        self._room = WaitingRoom()
        self._fleet = Fleet()
        self._staffs: dict[Choices, tuple[int, frozenset[str], int]] = {}
        self._freed: dict[str, None] = {}
        self._stirred: dict[LineKey, Line] = {}

    # What happened.

    def set_engine(self, name: str, *, slots: int, loaded: str | None) -> None:
        """`name` may run `slots` requests at once, 0 while it is not usable."""
        self._fleet.set(name, slots, loaded)
        self._room.memory = self._fleet.places
        self._staffs.clear()
        for line in self._room.lines.values():
            self._staff(line)
        self._stirred |= self._room.lines
        self._freed[name] = None

    def add(self, job: Waiting, *, turn: int | None = None) -> None:
        """Let `job` wait; one that waits again brings its `turn`, and goes first."""
        self._add(job, turn=turn, first=turn is not None)

    def replace(self, job: Waiting) -> None:
        """Others than before may serve a request that waits; its caller keeps the turn."""
        old = self._room.get(job.id)
        if old is not None and old.line_key != job.line_key:
            turn = self._room.callers[job.caller].turn
            self._room.remove(job.id)
            self._add(job, turn=turn, first=False)

    def _add(self, job: Waiting, *, turn: int | None, first: bool) -> None:
        line = self._room.add(job, turn=turn, first=first)
        if line.count == 1:
            self._staff(line)
        self._stirred[line.key] = line

    def remove(self, job_id: int) -> bool:
        """Take a request out; False when it does not wait."""
        return self._room.remove(job_id) is not None

    def finished(
        self, engine_name: str, job_id: int, now: float, *, loaded: str | None, learn: bool
    ) -> None:
        """A start has ended; `loaded` is what its engine holds now, `learn` if it went well."""
        self._fleet.finish(self._fleet[engine_name], job_id, now, loaded, learn=learn)
        self._freed[engine_name] = None

    # What to do.

    def decide(self, now: float) -> Start | None:
        """The next start, which counts as made; None when nothing more can start now."""
        if self.wake_at is not None and now >= self.wake_at:
            self.wake_at = None
            self._stirred |= self._room.lines
        while self._freed:
            engine = self._fleet[self._freed.popitem()[0]]
            if engine.is_free:
                self._fleet.set_idle(engine)
                if start := self._start_on(engine, now):
                    return start
                self._stirred |= self._room.spilling_to(engine.name)
        while self._stirred:
            line = next(iter(self._stirred.values()))
            if start := self._start_of(line, now):
                return start
            del self._stirred[line.key]
        return None

    def _start_of(self, line: Line, now: float) -> Start | None:
        """Something on the idle engine that is best for a line, or else spilt from it."""
        if not line.count:
            return None
        able = line.engines
        best = self._fleet.idle_warm(able, line.checkpoint) or self._fleet.idle_cold(able)
        start = None if best is None else self._start_on(best, now)
        return start or self._spill(line, now)

    def _start_on(self, engine: FleetEngine, now: float) -> Start | None:
        lines = [line for line in self._room.lines.values() if engine.name in line.engines]
        job = self._overdue(lines) or self._by_turn(engine, lines, now)
        return None if job is None else self._begin(engine, job, now)

    # The rules.

    def _overdue(self, lines: Iterable[Line]) -> Waiting | None:
        """The most senior request, if any has been passed as often as it may be."""
        seniors = [(line, senior) for line in lines if (senior := line.senior()) is not None]
        for line, senior in seniors:
            if line.starts - senior.starts >= senior.rivals + self._policy.patience * line.places:
                return min((senior for _, senior in seniors), key=lambda s: s.number).job
        return None

    def _by_turn(self, engine: FleetEngine, lines: Iterable[Line], now: float) -> Waiting | None:
        heads = sorted((line.head() for line in lines), key=lambda head: head.turn)
        warm = [head for head in heads if engine.is_warm_for(head.job.checkpoint)]
        for head in warm:
            if self._may_pass(head, heads):
                return head.job
        if warm:
            return heads[0].job
        for head in sorted(heads, key=self._shortage, reverse=True):
            if self._pays(engine, head, now) and self._may_pass(head, heads):
                return head.job
        if heads:
            self._hold_back(engine, heads, now)
        return None

    def _may_pass(self, head: Head, heads: Iterable[Head]) -> bool:
        """Whether its caller may be served before those whose turn comes before."""
        caller = self._room.callers[head.job.caller]
        return not any(
            caller.started_since(other.turn, other.line.places)
            for other in heads
            if other.turn < head.turn
        )

    def _shortage(self, head: Head) -> float:
        """How many wait for each place where a checkpoint is loaded; no place counts half."""
        checkpoint = head.job.checkpoint
        warm = self._fleet.warm_places(head.line.engines, checkpoint)
        return self._room.burst(checkpoint).count / (warm or 0.5)

    def _pays(self, engine: FleetEngine, head: Head, now: float) -> bool:
        """Whether waiting for engines that have its checkpoint costs more than loading it."""
        checkpoint = head.job.checkpoint
        switch_s = engine.pace.switch_s * self._policy.reluctance
        warm = self._fleet.warm_places(head.line.engines, checkpoint)
        clearing_s = engine.pace.seconds_for(self._room.burst(checkpoint).work)
        return clearing_s > warm * switch_s or now >= head.job.since + switch_s

    def _hold_back(self, engine: FleetEngine, heads: Iterable[Head], now: float) -> None:
        """Have `decide` called again when loading a checkpoint begins to pay."""
        switch_s = engine.pace.switch_s * self._policy.reluctance
        times = (head.job.since + switch_s for head in heads)
        again = min(time for time in times if time > now)
        self.wake_at = again if self.wake_at is None else min(self.wake_at, again)

    def _spill(self, line: Line, now: float) -> Start | None:
        """Relieve a line whose last would wait longer for its engines than work here takes."""
        if line.choice != 0 or not line.places:
            return None
        job = line.newest()
        for name in line.spill:
            engine = self._fleet[name]
            if self._fleet.is_idle(engine):
                here_s = engine.pace.seconds_for(job.work)
                if not engine.is_warm_for(job.checkpoint):
                    here_s += engine.pace.switch_s
                if self._fleet.seconds_for(self._room.work, line.engines) > here_s:
                    return self._begin(engine, job, now, spilt=True)
        return None

    def _begin(
        self, engine: FleetEngine, job: Waiting, now: float, *, spilt: bool = False
    ) -> Start:
        choice = None if spilt else self._room.lines[job.line_key].choice
        for line in self._room.lines.values():
            if engine.name in line.engines:
                line.starts += 1
        turn = self._room.start(job)
        switched = not engine.is_warm_for(job.checkpoint)
        self._fleet.begin(engine, job.id, Run(job.work, now, switched), job.checkpoint)
        if engine.is_free:
            self._freed[engine.name] = None
        return Start(job, engine.name, choice, switched, turn)

    def _staff(self, line: Line) -> None:
        """Find which of a line's choices can serve it now."""
        if line.choices not in self._staffs:
            self._staffs[line.choices] = self._best_usable(line.choices)
        line.choice, line.engines, line.places = self._staffs[line.choices]

    def _best_usable(self, choices: Choices) -> tuple[int, frozenset[str], int]:
        for number, choice in enumerate(choices):
            if usable := self._fleet.usable(choice):
                return number, usable, self._fleet.places_of(usable)
        return 0, frozenset(), 0

    # What can be told.

    def __len__(self) -> int:
        """How many requests wait."""
        return len(self._room)

    def waiting_of(self, caller: str) -> int:
        return self._room.waiting_of(caller)

    @property
    def callers(self) -> int:
        """How many callers wait."""
        return len(self._room.callers)

    def queue_of(self, engine: str) -> int:
        """How many of the waiting an engine could take now."""
        lines = self._room.lines.values()
        return sum(x.count for x in lines if engine in x.engines or engine in x.spill)

    def position(self, job_id: int) -> int | None:
        """The place in the queue, 1 for the next, if callers simply take turns."""
        job = self._room.get(job_id)
        return None if job is None else self._room.position(job)

    def seconds_for(self, work: float) -> float:
        """What `work` takes on an engine of middling speed, by what was measured."""
        return self._fleet.pace.seconds_for(work)

    @property
    def seconds_between_starts(self) -> float:
        """How often one of the waiting starts, by what was measured."""
        mean_work = self._room.work / max(1, len(self._room))
        return self._fleet.pace.seconds_for(mean_work) / max(1, self._fleet.places)
