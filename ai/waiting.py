"""The requests that wait, kept so that a router finds the next one without a search.

Pure: nothing here knows the time. Requests that the same engines can serve with the same
checkpoint stand in one line; within it callers take turns.
"""

from __future__ import annotations

import heapq
import itertools
from collections import OrderedDict, deque
from dataclasses import dataclass

_FEW = 64
Choices = tuple[frozenset[str], ...]
LineKey = tuple[str | None, Choices, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request as routing sees it.

    `choices` are sets of engine names, best first: the first with an engine that is usable
    counts, the later ones stand in for it. `spill` may serve it too when the wait for its
    choice is too long. `work` is in megapixel-steps, `since` when it came, in seconds of
    any clock. `checkpoint` None takes whichever is loaded.
    """

    id: int
    caller: str
    checkpoint: str | None
    choices: Choices
    work: float
    since: float
    spill: frozenset[str] = frozenset()

    @property
    def line_key(self) -> LineKey:
        return self.checkpoint, self.choices, self.spill


@dataclass(slots=True)
class Caller:
    """Who waits. `turn` is the place in the rotation, drawn anew at each start.

    `jobs` are the waiting ones, oldest first; `starts` says when the latest started, in the
    numbers turns are drawn from.
    """

    turn: int
    jobs: OrderedDict[int, Waiting]
    starts: deque[int]

    @property
    def oldest(self) -> Waiting:
        return next(iter(self.jobs.values()))

    def started_since(self, turn: int, count: int) -> bool:
        """Whether at least `count` of its requests have started since `turn` was drawn."""
        return len(self.starts) >= count and self.starts[-count] > turn


@dataclass(frozen=True, slots=True)
class Senior:
    """A caller's oldest request, from when it became that.

    `number` orders seniors, `starts` is what its line had counted then, `rivals` how many
    callers waited.
    """

    number: int
    job: Waiting
    starts: int
    rivals: int


@dataclass(frozen=True, slots=True)
class Head:
    """The request of a line whose caller's turn comes first."""

    turn: int
    job: Waiting
    line: Line


class Line:
    """Requests of one kind, for routing: callers by turn, seniors by age.

    `engines` are those that may serve it now, its choice number `choice`, `places` what
    they can do at once; the router keeps the three. `starts` counts what they began, of
    any line, as long as this one stands.
    """

    __slots__ = (
        "_by_caller",
        "_callers",
        "_seniors",
        "_turns",
        "checkpoint",
        "choice",
        "choices",
        "count",
        "engines",
        "key",
        "places",
        "spill",
        "starts",
    )

    def __init__(self, key: LineKey, callers: dict[str, Caller]) -> None:
        self.key = key
        self.checkpoint, self.choices, self.spill = key
        self.engines: frozenset[str] = frozenset()
        self.choice = self.places = self.count = self.starts = 0
        self._callers = callers
        self._by_caller: dict[str, OrderedDict[int, Waiting]] = {}
        self._turns: list[tuple[int, str]] = []
        self._seniors: list[tuple[int, Senior]] = []

    def add(self, job: Waiting, *, first: bool = False) -> None:
        jobs = self._by_caller.setdefault(job.caller, OrderedDict())
        jobs[job.id] = job
        if first:
            jobs.move_to_end(job.id, last=False)
        if first or len(jobs) == 1:
            heapq.heappush(self._turns, (self._callers[job.caller].turn, job.caller))
        self.count += 1

    def remove(self, job: Waiting) -> None:
        jobs = self._by_caller[job.caller]
        del jobs[job.id]
        if not jobs:
            del self._by_caller[job.caller]
        self.count -= 1

    def appoint(self, senior: Senior) -> None:
        heapq.heappush(self._seniors, (senior.number, senior))

    def head(self) -> Head:
        """What comes next by turn. The line must not be empty."""
        while True:
            turn, name = self._turns[0]
            jobs = self._by_caller.get(name)
            if jobs is None:
                heapq.heappop(self._turns)
            elif turn != self._callers[name].turn:
                heapq.heapreplace(self._turns, (self._callers[name].turn, name))
            else:
                return Head(turn, next(iter(jobs.values())), self)

    def senior(self) -> Senior | None:
        """Of the callers' oldest requests the one that has been that for longest."""
        while self._seniors:
            senior = self._seniors[0][1]
            if senior.job.id in self._by_caller.get(senior.job.caller, ()):
                return senior
            heapq.heappop(self._seniors)
        return None

    def newest(self) -> Waiting:
        """The last to have come of the caller who joined last."""
        return next(reversed(self._by_caller[next(reversed(self._by_caller))].values()))


@dataclass(slots=True)
class Burst:
    """What waits for one checkpoint: how many requests, and their work."""

    count: int = 0
    work: float = 0.0


class WaitingRoom:
    """Every waiting request, by line and by caller.

    `memory` is how many of its latest starts are remembered of each caller, `work` all
    that waits, in megapixel-steps.
    """

    def __init__(self) -> None:
        self.lines: dict[LineKey, Line] = {}
        self.callers: dict[str, Caller] = {}
        self.work = 0.0
        self.memory = 0
        self._absent: dict[str, Caller] = {}
        self._forget_at = _FEW
        self._jobs: dict[int, Waiting] = {}
        self._bursts: dict[str | None, Burst] = {}
        self._numbers = itertools.count(1)

    def __len__(self) -> int:
        return len(self._jobs)

    def get(self, job_id: int) -> Waiting | None:
        return self._jobs.get(job_id)

    def position(self, job: Waiting) -> int:
        """1 for the next, if callers simply take turns."""
        mine = self.callers[job.caller]
        before = list(mine.jobs).index(job.id)
        rivals = (caller for caller in self.callers.values() if caller is not mine)
        return 1 + before + sum(min(len(c.jobs), before + (c.turn < mine.turn)) for c in rivals)

    def burst(self, checkpoint: str | None) -> Burst:
        return self._bursts.get(checkpoint) or Burst()

    def spilling_to(self, engine: str) -> dict[LineKey, Line]:
        return {key: line for key, line in self.lines.items() if engine in line.spill}

    def waiting_of(self, caller: str) -> int:
        return len(self.callers[caller].jobs) if caller in self.callers else 0

    def add(self, job: Waiting, *, turn: int | None = None, first: bool = False) -> Line:
        """Let `job` wait, its caller at `turn` or sooner; `first` of its caller's requests."""
        caller = self._join(job.caller)
        caller.jobs[job.id] = self._jobs[job.id] = job
        if turn is not None:
            caller.turn = min(caller.turn, turn)
        if first:
            caller.jobs.move_to_end(job.id, last=False)
        line = self.lines.get(job.line_key)
        if line is None:
            line = self.lines[job.line_key] = Line(job.line_key, self.callers)
        line.add(job, first=first)
        self._account(job, 1)
        if caller.oldest is job:
            self._appoint(job)
        return line

    def remove(self, job_id: int) -> Waiting | None:
        """Take a request out; None when it does not wait."""
        job = self._jobs.pop(job_id, None)
        if job is None:
            return None
        line = self.lines[job.line_key]
        line.remove(job)
        if not line.count:
            del self.lines[job.line_key]
        self._account(job, -1)
        caller = self.callers[job.caller]
        was_oldest = caller.oldest is job
        del caller.jobs[job.id]
        if not caller.jobs:
            self._leave(job.caller)
        elif was_oldest:
            self._appoint(caller.oldest)
        return job

    def start(self, job: Waiting) -> int:
        """Take out a request that starts; its caller goes to the end of the rotation.

        Returns the turn it was started at.
        """
        caller = self.callers[job.caller]
        turn = caller.turn
        caller.turn = next(self._numbers)
        caller.starts.append(caller.turn)
        while len(caller.starts) > self.memory:
            caller.starts.popleft()
        self.remove(job.id)
        return turn

    def _account(self, job: Waiting, sign: int) -> None:
        burst = self._bursts.setdefault(job.checkpoint, Burst())
        burst.count += sign
        burst.work += sign * job.work
        self.work += sign * job.work
        if not burst.count:
            del self._bursts[job.checkpoint]

    def _join(self, name: str) -> Caller:
        if name not in self.callers:
            caller = self._absent.pop(name, None) or Caller(0, OrderedDict(), deque())
            caller.turn = next(self._numbers)
            self.callers[name] = caller
        return self.callers[name]

    def _leave(self, name: str) -> None:
        """Remember what a caller started for as long as somebody waits who saw it."""
        self._absent[name] = self.callers.pop(name)
        if len(self._absent) < self._forget_at:
            return
        eldest = min((caller.turn for caller in self.callers.values()), default=None)
        self._absent = {
            name: caller
            for name, caller in self._absent.items()
            if eldest is not None and caller.starts and caller.starts[-1] > eldest
        }
        self._forget_at = max(_FEW, 2 * len(self._absent))

    def _appoint(self, job: Waiting) -> None:
        line = self.lines[job.line_key]
        line.appoint(Senior(next(self._numbers), job, line.starts, len(self.callers)))
