"""The pool: several engines behind one fair queue, with a CPU to fall back on."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from ai.catalogue import Match
from ai.correlation import NOBODY, Correlation
from ai.dispatch import Dispatch
from ai.engines.base import Checkpoint, Engine, EngineFacts, ListName, Sampler, WebUILike
from ai.errors import (
    DeadlineExceeded,
    EngineError,
    GenerationError,
    NoEngine,
    QueueFull,
    ShuttingDown,
)
from ai.generation import Ability, GenerationRequest, Work
from ai.pool_values import (
    EngineStatus,
    NoEvents,
    Outcome,
    PoolCheckpoint,
    PoolEvents,
    PoolPolicy,
)
from ai.tickets import Case, Ticket, TicketState

__all__ = [
    "EnginePool",
    "EngineStatus",
    "Outcome",
    "PoolCheckpoint",
    "PoolEvents",
    "PoolPolicy",
    "Ticket",
]


class EnginePool:
    """Takes requests in, tells how they fare and how the engines are.

    The engines are the pool's from then on: `close` closes them.
    """

    def __init__(
        self,
        engines: Sequence[Engine],
        policy: PoolPolicy | None = None,
        *,
        events: PoolEvents | None = None,
    ) -> None:
        self._policy = policy or PoolPolicy()
        self._dispatch = Dispatch(engines, self._policy, events or NoEvents())
        self._numbers = itertools.count(1)
        self._accepting = True

    # Life.

    def start(self) -> None:
        """Probe all engines, waiting `first_probe_s` at most, and begin to work."""
        self._dispatch.start(self._policy.first_probe_s)

    def dismiss_waiting(self) -> None:
        """Take no more, and give up what has not begun: it ends with ShuttingDown."""
        with self._dispatch.changed:
            self._accepting = False
            waiting = [case for case in self._dispatch.cases.values() if case.lease is None]
        for case in waiting:
            self._dispatch.give_up(case, ShuttingDown(), only_waiting=True)

    def drain(self, timeout_s: float) -> bool:
        """Take no more and wait until all has ended; False if that took too long."""
        with self._dispatch.changed:
            self._accepting = False
            return self._dispatch.changed.wait_for(lambda: not self._dispatch.busy, timeout_s)

    def close(self) -> None:
        """End what has not ended with ShuttingDown, stop the threads, close the engines."""
        with self._dispatch.changed:
            self._accepting = False
            left = list(self._dispatch.cases.values())
        for case in left:
            self._dispatch.give_up(case, ShuttingDown())
        self._dispatch.close()

    # Requests.

    def submit(
        self,
        request: Work,
        *,
        caller: str,
        timeout_s: float | None = None,
        patient: bool = False,
        again: bool = False,
        waited_s: float = 0.0,
        correlation: Correlation = NOBODY,
        follow: Callable[[Ticket, TicketState], None] | None = None,
    ) -> Ticket:
        """Queue `request` for `caller`; within `timeout_s`, if given, it has ended.

        A `patient` one waits for an engine however long that takes. One taken in `again` has
        its place in the queue whatever the bounds; one that `waited_s` before it came here
        has waited so much longer. `follow` is told, in order, each time work
        on it begins ("processing"), and when it has "ended"; it must be quick. `correlation`
        goes with it to the engine, and to the pool's own listener.

        A seed left to chance is drawn here, so that a retry makes the same picture. Raises
        UnknownCheckpoint, UnknownSampler, UnknownScheduler or UnsupportedRequest when no
        engine could ever serve it, NoEngine when none can now, QueueFull.
        """
        with self._dispatch.changing() as now:
            if not self._accepting:
                raise ShuttingDown
            match = self._dispatch.catalogue.match(request)
            self._require_engine(match, now)
            case = Case(next(self._numbers), request.with_seed(), caller, now, now)
            case.patient, case.correlation = patient, correlation
            case.queue_s = waited_s
            ticket = Ticket(self, case)
            case.follow = partial(follow, ticket) if follow else None
            self._dispatch.enqueue(case, match)
            self._dispatch.start_what_can()
            if not again:
                self._require_place(case)
            if timeout_s is not None:
                late = DeadlineExceeded(f"Not done within {timeout_s:g} s; try again later.")
                give_up = partial(self._dispatch.give_up, case, late)
                case.deadline_timer = self._dispatch.timers.at(now + timeout_s, give_up)
        return ticket

    def generate(
        self, request: GenerationRequest, *, caller: str, timeout_s: float | None = None
    ) -> Outcome:
        """Submit, wait, return what came of it; raises what those raise."""
        ticket = self.submit(request, caller=caller, timeout_s=timeout_s)
        try:
            ticket.wait()
        finally:
            ticket.cancel()
        return ticket.result()

    def _require_engine(self, match: Match, now: float) -> None:
        able = self._dispatch.members.of(frozenset().union(*match.choices))
        if any(member.health.state in ("up", "cooling") for member in able):
            return
        asked = able or self._dispatch.members
        pauses = [member.health.cooldown_left_s(now) for member in asked]
        raise NoEngine(
            "No engine that could do this can be reached now.", max(1.0, min(pauses, default=1.0))
        )

    def _require_place(self, case: Case) -> None:
        """Of what cannot start at once only so much may wait."""
        router, policy = self._dispatch.router, self._policy
        if case.lease is not None:
            return
        place_s = router.seconds_between_starts
        if len(router) > policy.max_queue:
            full = QueueFull(f"{policy.max_queue} requests wait already.", max(1.0, place_s))
        elif router.waiting_of(case.caller) > policy.max_queue_per_caller:
            message = f"{policy.max_queue_per_caller} requests of yours wait already."
            wait_s = max(1.0, place_s * router.callers)
            full = QueueFull(message, wait_s, limit="queue-per-caller")
        else:
            return
        case.follow = None
        self._dispatch.end(case, full)
        raise full

    def listings(self, name: ListName) -> list[Any]:
        """What each engine that is up answers for a WebUI's list; calls them, one by one."""
        with self._dispatch.changed:
            part = self._dispatch.catalogue.takes_part
            members = [m for m in self._dispatch.members if part(m.name) and m.health.usable]
        found = []
        for engine in (member.engine for member in members):
            if isinstance(engine, WebUILike):
                with suppress(EngineError):
                    found.append(engine.listing(name))
        return [listing for listing in found if listing is not None]

    def abilities(self) -> frozenset[Ability]:
        """All that some engine can do."""
        with self._dispatch.changed:
            return self._dispatch.catalogue.abilities()

    # Tickets.

    def position_of(self, case: Case) -> int | None:
        with self._dispatch.changed:
            return self._dispatch.router.position(case.number)

    def eta_of(self, case: Case) -> float | None:
        """Its own time and, while it waits, its share of the time of those before it."""
        with self._dispatch.changed:
            if case.ended.is_set():
                return None
            router = self._dispatch.router
            own_s = router.seconds_for(case.request.megapixel_steps)
            if case.lease is not None:
                return max(0.0, own_s - (time.monotonic() - case.lease.began))
            position = router.position(case.number) or 1
            return own_s + router.seconds_between_starts * (position - 1)

    def give_up(self, case: Case, cause: GenerationError) -> bool:
        return self._dispatch.give_up(case, cause)

    # What there is.

    def serves(self, request: GenerationRequest) -> bool:
        """Whether some engine could make this now, or once its turn comes."""
        with self._dispatch.changed:
            try:
                self._require_engine(self._dispatch.catalogue.match(request), time.monotonic())
            except GenerationError:
                return False
            return self._accepting

    def facts(self) -> dict[str, EngineFacts]:
        """What each engine that was ever reached told last, by its name."""
        with self._dispatch.changed:
            return self._dispatch.catalogue.facts()

    def status(self) -> tuple[EngineStatus, ...]:
        """Every engine as it is now."""
        with self._dispatch.changed:
            now, router = time.monotonic(), self._dispatch.router
            members = self._dispatch.members
            return tuple(member.status(now, router.queue_of(member.name)) for member in members)

    def queue_length(self) -> int:
        """How many requests wait."""
        with self._dispatch.changed:
            return len(self._dispatch.router)

    def oldest_wait_s(self) -> float:
        """How long the one that waits for longest has waited; 0 when none does."""
        with self._dispatch.changed:
            cases = self._dispatch.cases.values()
            since = [case.queued_since for case in cases if case.lease is None]
            return max(0.0, time.monotonic() - min(since)) if since else 0.0

    def can_serve(self) -> bool:
        """Whether some engine is usable, or rests only for a moment; not while closing."""
        with self._dispatch.changed:
            part = self._dispatch.catalogue.takes_part
            states = [m.health.state for m in self._dispatch.members if part(m.name)]
            return self._accepting and ("up" in states or "cooling" in states)

    def checkpoints(self) -> tuple[PoolCheckpoint, ...]:
        """Every checkpoint of every engine, once each."""
        with self._dispatch.changed:
            members = self._dispatch.members
            return self._dispatch.catalogue.checkpoints(lambda name: members[name].loaded)

    def checkpoint_for(self, request: GenerationRequest) -> Checkpoint | None:
        """What `request` would be made with if it were made now; None where that is not certain.

        Its hash is None where no engine tells it.
        """
        with self._dispatch.changed:
            members = self._dispatch.members
            try:
                return self._dispatch.catalogue.expected(
                    request,
                    loaded=lambda name: members[name].loaded,
                    usable=lambda name: members[name].health.state in ("up", "cooling"),
                )
            except GenerationError:
                return None

    def samplers(self) -> tuple[Sampler, ...]:
        """Every sampler of every engine, once each, with all its aliases."""
        with self._dispatch.changed:
            return self._dispatch.catalogue.samplers()

    def schedulers(self) -> tuple[str, ...]:
        """Every noise schedule of every engine, once each."""
        with self._dispatch.changed:
            return self._dispatch.catalogue.schedulers()
