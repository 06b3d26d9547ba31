"""Carries out what the router decides: leases, calls, answers, retries, engines that rest."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from ai.catalogue import Catalogue, Match
from ai.engines.base import Engine, EngineFacts
from ai.errors import (
    DeadlineExceeded,
    EngineError,
    EngineFailed,
    EngineRefused,
    GenerationError,
    InvalidRequest,
    WrongCheckpoint,
)
from ai.generation import Generation
from ai.leases import Lease
from ai.members import Member, Members
from ai.news import News
from ai.pool_values import Outcome, PoolEvents, PoolPolicy
from ai.probes import ProbeResult, Probes
from ai.routing import Router, Start, Waiting
from ai.tickets import Case, TicketState
from ai.timers import Timer, Timers

log = logging.getLogger(__name__)

Result = Generation | GenerationError


class Dispatch:
    """The state of a pool and all that changes it.

    One lock guards it; `changing` takes it, then starts whatever can start, then tells the
    news. It is never held while an engine is called or a listener told.
    """

    def __init__(self, engines: Sequence[Engine], policy: PoolPolicy, events: PoolEvents) -> None:
        self.policy = policy
        self.members = Members(engines, policy)
        self.catalogue = Catalogue(engines, policy.cpu_fallback)
        self.router = Router()
        self.timers = Timers()
        self.probes = Probes(engines, self._probed, self._spared_until, self.timers)
        self.cases: dict[int, Case] = {}
        self.changed = threading.Condition()
        self._events = events
        self._news = News()
        self._alarm = Timer(self._look_again)
        self._alarm_at: float | None = None

    @contextmanager
    def changing(self) -> Iterator[float]:
        """Hold the lock for a change; yields the time."""
        try:
            with self.changed:
                try:
                    yield time.monotonic()
                finally:
                    self.start_what_can()
                    self.changed.notify_all()
        finally:
            self._news.announce()

    def start(self, wait_s: float) -> None:
        self.timers.start()
        self.probes.start(wait_s)

    def close(self) -> None:
        self.probes.close()
        self.timers.close()
        self.members.close()

    @property
    def busy(self) -> bool:
        return bool(self.cases) or self.members.in_flight > 0

    # Cases, under the lock.

    def enqueue(self, case: Case, match: Match) -> None:
        """Let `case` wait for an engine that can serve it, at most `queue_timeout_s`."""
        self.cases[case.number] = case
        turn = None if case.start is None else case.start.turn
        self.router.add(self._waiting(case, match), turn=turn)
        if not case.patient:
            too_long = f"No engine was free within {self.policy.queue_timeout_s:g} s."
            give_up = partial(self.give_up, case, DeadlineExceeded(too_long), only_waiting=True)
            case.queue_timer = self.timers.after(self.policy.queue_timeout_s, give_up)

    def end(self, case: Case, result: Outcome | GenerationError) -> None:
        """The case is over; what its engine still does is nobody's."""
        self.router.remove(case.number)
        self.cases.pop(case.number, None)
        case.end(result)
        waited_s = case.waited_s(time.monotonic())
        self._news.tell(self._events.ended, case.request, result, waited_s, case.correlation)
        self._follow(case, "ended")
        case.follow = None

    def _waiting(self, case: Case, match: Match) -> Waiting:
        return Waiting(
            id=case.number,
            caller=case.caller,
            checkpoint=match.checkpoint,
            choices=tuple(choice - case.tried for choice in match.choices),
            work=case.request.megapixel_steps,
            since=case.queued_since,
            spill=match.spill - case.tried,
        )

    def give_up(self, case: Case, cause: GenerationError, *, only_waiting: bool = False) -> bool:
        """End `case` with `cause`, interrupting its engine; False if it had ended.

        To be called without the lock. With `only_waiting` a case at work is left alone.
        """
        with self.changing():
            lease = case.lease
            if case.ended.is_set() or (only_waiting and lease is not None):
                return False
            self.end(case, cause)
        if lease is not None:
            lease.stop()
        return True

    # Starting.

    def start_what_can(self) -> None:
        now = time.monotonic()
        while (start := self.router.decide(now)) is not None:
            self._start(self.cases[start.job.id], start, now)
        self._set_alarm()

    def _start(self, case: Case, start: Start, now: float) -> None:
        member = self.members[start.engine]
        member.in_flight += 1
        request = self.catalogue.worded(case.request, member.name, member.loaded)
        lease = Lease(member.engine, request, case.correlation, stand_in=bool(start.choice))
        case.begin(start, lease, now)
        member.call(partial(self._call, case, start, lease))
        self._follow(case, "processing")
        if start.switch:
            self._news.tell(self._events.switched, start.engine, str(start.job.checkpoint))
        if start.choice != 0:
            self._news.tell(self._events.fell_back, start.engine)

    def _set_alarm(self) -> None:
        """Look again when an engine that holds back may have held back long enough."""
        wake_at = self.router.wake_at
        if wake_at != self._alarm_at:
            self._alarm_at = wake_at
            self._alarm.cancel()
            if wake_at is not None:
                self._alarm = self.timers.at(wake_at, self._look_again)

    def _look_again(self) -> None:
        with self.changing():
            pass

    # At work, on a thread of the member's own, without the lock.

    def _call(self, case: Case, start: Start, lease: Lease) -> None:
        result: Result
        try:
            result = lease.run(self.policy.engine_timeout_s)
        except GenerationError as error:
            result = error
        except Exception:
            log.exception("engine crashed", extra={"engine": start.engine})
            result = EngineFailed(start.engine, f"{start.engine} failed in an unforeseen way.")
        with self.changing() as now:
            self._take_back(self.members[start.engine], start, result, now)
            self._judge(self.members[start.engine], case, result, now)
            if not case.ended.is_set():
                self._conclude(case, start, result, now - lease.began)

    # Coming back, under the lock.

    def _take_back(self, member: Member, start: Start, result: Result, now: float) -> None:
        made = isinstance(result, Generation)
        member.in_flight -= 1
        member.loaded = start.job.checkpoint or member.loaded
        if isinstance(result, Generation):
            member.loaded = result.checkpoint or member.loaded
        self.router.finished(member.name, start.job.id, now, loaded=member.loaded, learn=made)

    def _judge(self, member: Member, case: Case, result: Result, now: float) -> None:
        """What a result says of the engine."""
        with self._following(member):
            if isinstance(result, Generation):
                member.health.succeeded(now)
            elif isinstance(result, EngineError):
                self._news.tell(self._events.failed, member.name, result)
                member.health.failed(result, now, blameless=bool(case.tried))
        if isinstance(result, WrongCheckpoint):
            self._bar(member.name, case.request.checkpoint)
        if isinstance(result, EngineRefused | InvalidRequest):
            self.probes.soon(member.name, now)
        elif not member.health.usable:
            self.probes.soon(member.name, member.health.next_probe_at(now))

    def _bar(self, engine: str, asked: str | None) -> None:
        """Send `engine` nothing for a checkpoint it only says it has, for a good while."""
        known = self.catalogue.checkpoint_on(engine, asked) if asked is not None else None
        if known is not None:
            log.warning("checkpoint barred", extra={"engine": engine, "checkpoint": known.name})
            self.catalogue.bar(engine, known.name)
            self._match_again()
            self.timers.after(self.policy.cooldown_max_s, partial(self._unbar, engine, known.name))

    def _unbar(self, engine: str, checkpoint: str) -> None:
        with self.changing():
            self.catalogue.unbar(engine, checkpoint)
            self._match_again()

    def _conclude(self, case: Case, start: Start, result: Result, engine_s: float) -> None:
        """What a result says to the caller: done, once more elsewhere, or failed."""
        if isinstance(result, Generation):
            device = self.members[start.engine].engine.device
            self.end(case, case.outcome(result, device, engine_s))
        elif not (isinstance(result, EngineError) and self._retry(case, start, result)):
            self.end(case, result)

    def _retry(self, case: Case, start: Start, error: EngineError) -> bool:
        """Let it wait for another engine, if it may and one is there."""
        case.tried |= {start.engine}
        if not error.elsewhere or case.attempts > self.policy.max_retries:
            return False
        try:
            match = self.catalogue.match(case.request)
        except GenerationError:
            return False
        others = self.members.of(frozenset().union(*match.choices) - case.tried)
        if not any(member.health.usable for member in others):
            return False
        case.wait_again(time.monotonic())
        self.enqueue(case, match)
        self._news.tell(self._events.retried, start.engine, error)
        return True

    # Health, under the lock but for `_probed`.

    def _probed(self, name: str, found: ProbeResult) -> float:
        member = self.members[name]
        with self.changing() as now:
            with self._following(member):
                if isinstance(found, EngineError):
                    if not member.in_flight:
                        member.health.probe_failed(found, now)
                else:
                    member.health.probed(now)
                    self._learn(member, found)
            return member.health.next_probe_at(now)

    def _spared_until(self, name: str) -> float:
        return self.members[name].health.spared_until()

    def _learn(self, member: Member, facts: EngineFacts) -> None:
        if not member.in_flight:
            member.loaded = facts.loaded or member.loaded
        if self.catalogue.learn(member.name, facts):
            self._match_again()

    @contextmanager
    def _following(self, member: Member) -> Iterator[None]:
        """Let the router, the log and the listener know how a member's health changed."""
        old, loaded, slots = member.health.state, member.loaded, member.slots
        yield
        new, reason = member.health.state, member.health.last_error or ""
        if (loaded, slots) != (member.loaded, member.slots):
            part = self.catalogue.takes_part(member.name)
            slots = member.slots if part else 0
            self.router.set_engine(member.name, slots=slots, loaded=member.loaded)
        if new != old:
            level = logging.INFO if new == "up" else logging.WARNING
            log.log(level, "engine %s", new, extra={"engine": member.name, "reason": reason})
            self._news.tell(self._events.engine_state_changed, member.name, old, new, reason)

    def _match_again(self) -> None:
        """Facts have changed: let each waiting request wait for those that serve it now."""
        for case in [case for case in self.cases.values() if case.lease is None]:
            try:
                waiting = self._waiting(case, self.catalogue.match(case.request))
            except GenerationError as error:
                self.end(case, error)
            else:
                self.router.replace(waiting)

    def _follow(self, case: Case, state: TicketState) -> None:
        if case.follow is not None:
            self._news.tell(case.follow, state)
