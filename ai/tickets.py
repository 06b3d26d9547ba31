"""An accepted request: the case the pool works on, and the ticket its caller holds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from ai.correlation import NOBODY, Correlation
from ai.engines.base import Device
from ai.errors import GenerationCanceled, GenerationError
from ai.generation import Generation, Progress, Work
from ai.leases import Lease
from ai.pool_values import Outcome
from ai.routing import Start
from ai.timers import Timer

TicketState = Literal["queued", "processing", "ended"]


@dataclass(eq=False, slots=True)
class Case:
    """An accepted request and how it fares. Written by the pool alone, under its lock.

    `start` is the latest decision about it, `lease` its hold on the engine at work,
    `tried` the engines that failed it. A `patient` one never gives up waiting; `follow` is
    told "processing" when work on it begins and "ended". Times are of the monotonic clock.
    """

    number: int
    request: Work
    caller: str
    since: float
    queued_since: float
    queue_s: float = 0.0
    attempts: int = 0
    patient: bool = False
    correlation: Correlation = NOBODY
    follow: Callable[[TicketState], None] | None = None
    start: Start | None = None
    lease: Lease | None = None
    tried: frozenset[str] = frozenset()
    queue_timer: Timer | None = None
    deadline_timer: Timer | None = None
    result: Outcome | GenerationError | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    def begin(self, start: Start, lease: Lease, now: float) -> None:
        """From now on `lease` is at work on it."""
        self.start, self.lease = start, lease
        self.attempts += 1
        self.queue_s += now - self.queued_since
        if self.queue_timer is not None:
            self.queue_timer.cancel()

    def waited_s(self, now: float) -> float:
        """All the time it has waited for engines."""
        return self.queue_s + (now - self.queued_since if self.lease is None else 0.0)

    def wait_again(self, now: float) -> None:
        """It was let down, and another engine is to take it."""
        self.lease = None
        self.queued_since = now

    def outcome(self, generation: Generation, device: Device, engine_s: float) -> Outcome:
        """What came of its latest start."""
        assert self.start is not None
        return Outcome(
            generation=generation,
            engine=self.start.engine,
            device=device,
            attempts=self.attempts,
            fallback=self.start.choice != 0,
            queue_s=self.queue_s,
            engine_s=engine_s,
        )

    def end(self, result: Outcome | GenerationError) -> None:
        for timer in (self.queue_timer, self.deadline_timer):
            if timer is not None:
                timer.cancel()
        self.result = result
        self.ended.set()


class TicketOffice(Protocol):
    """What a ticket asks of the pool that gave it out."""

    def position_of(self, case: Case) -> int | None: ...

    def eta_of(self, case: Case) -> float | None: ...

    def give_up(self, case: Case, cause: GenerationError) -> bool: ...


class Ticket:
    """One accepted request. Waiting costs no thread; any thread may call its methods."""

    def __init__(self, office: TicketOffice, case: Case) -> None:
        self._office = office
        self._case = case

    @property
    def state(self) -> TicketState:
        if self._case.ended.is_set():
            return "ended"
        return "queued" if self._case.lease is None else "processing"

    @property
    def engine(self) -> str | None:
        """The engine at work on it, or the last that was."""
        start = self._case.start
        return None if start is None else start.engine

    @property
    def attempts(self) -> int:
        """How many engines have been asked."""
        return self._case.attempts

    @property
    def position(self) -> int | None:
        """Its place in the queue if callers simply take turns, 1 for the next; else None."""
        return self._office.position_of(self._case)

    @property
    def eta_s(self) -> float | None:
        """Seconds until it is done, by the pace measured so far; None once ended."""
        return self._office.eta_of(self._case)

    def progress(self, *, preview: bool = False) -> Progress:
        """How far it is: 0 while queued, 1 once it has succeeded.

        Asks the engine at work, at most twice a second however many ask here.
        """
        lease, result = self._case.lease, self._case.result
        if isinstance(result, Outcome):
            steps = self._case.request.effective_steps
            return Progress(1.0, steps, steps, 0.0)
        return Progress() if lease is None else lease.progress(preview=preview)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it has ended, at most `timeout_s`; True when it has."""
        return self._case.ended.wait(timeout_s)

    def result(self) -> Outcome:
        """What came of it. Raises the GenerationError it ended with.

        Raises RuntimeError while it has not ended.
        """
        result = self._case.result
        if isinstance(result, GenerationError):
            raise result
        if result is None:
            raise RuntimeError("the request has not ended yet")
        return result

    def be_patient(self) -> None:
        """From now on it waits for an engine however long that takes."""
        self._case.patient = True
        if self._case.queue_timer is not None:
            self._case.queue_timer.cancel()

    def cancel(self) -> bool:
        """Call it off: out of the queue, or interrupted at work. False if it had ended."""
        called_off = GenerationCanceled("The generation was called off.")
        return self._office.give_up(self._case, called_off)
