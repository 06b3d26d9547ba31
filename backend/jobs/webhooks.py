"""Sends the webhooks that are due: at once, then again and again for over a day."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from ai.errors import InvalidRequest
from backend.addresses import AddressRules, check_url
from backend.jobs.deliveries import Deliveries, Delivery
from backend.jobs.records import LedgerUnavailable
from backend.jobs.webhook_call import TOTAL_TIMEOUT_S, Answer, deliver

log = logging.getLogger(__name__)

PAUSES_S = (5.0, 30.0, 120.0, 600.0, 1800.0, 7200.0, 21600.0, 57600.0)
"""Before the second try, the third, ...: nine tries in all, the last over a day after the first."""
JITTER = 0.2
"""A pause is up to this share longer, so that what failed together is not sent together."""
MAX_RETRY_AFTER_S = 3600.0
IN_FLIGHT = 8
IN_FLIGHT_PER_HOST = 2
"""A slow receiver holds up itself, and leaves places for others."""
LEASE = timedelta(seconds=2 * TOTAL_TIMEOUT_S)
LOOK_EVERY_S = 5.0
"""For deliveries that another process made due."""
CLOSE_TIMEOUT_S = 5.0


class WebhookSender:
    """Sends what `Deliveries` holds, each at least once, from a thread of its own.

    Without a signing `key` nothing is sent, and `check` refuses every URL. Several senders may
    share a database. `count` is told what came of each try: delivered, retried, given_up.
    """

    def __init__(
        self,
        database: Engine,
        *,
        key: bytes | None,
        rules: AddressRules,
        count: Callable[[str], None] = lambda _: None,
        pauses_s: Sequence[float] = PAUSES_S,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._deliveries = Deliveries(database)
        self._key = key
        self._rules = rules
        self._count = count
        self._pauses_s = tuple(pauses_s)
        self._clock = clock
        self._hosts: Counter[str] = Counter()
        self._sending: set[threading.Thread] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)

    def check(self, url: str) -> None:
        """Refuse a `webhook_url` we would not send to. Raises InvalidRequest."""
        if self._key is None:
            raise InvalidRequest(
                "webhook_url", "webhooks are not set up here: WEBHOOK_SECRET is not set"
            )
        check_url(url, self._rules, "webhook_url")

    def start(self) -> None:
        if self._key is not None:
            self._thread.start()

    def nudge(self) -> None:
        """Something is due: look now."""
        self._wake.set()

    def close(self) -> None:
        """Begin no more tries, and wait a few seconds for those begun.

        One that is cut short by the process' end is made again after its lease.
        """
        self._closing.set()
        self._wake.set()
        deadline = time.monotonic() + CLOSE_TIMEOUT_S
        with self._lock:
            threads = [self._thread, *self._sending]
        for thread in threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                pause_s = self._send_due()
            except LedgerUnavailable:
                pause_s = LOOK_EVERY_S
            self._wake.wait(pause_s)
            self._wake.clear()

    def _send_due(self) -> float:
        """Begin all tries that are due and have a place; seconds until to look again."""
        while not self._closing.is_set() and len(self._sending) < IN_FLIGHT:
            delivery = self._deliveries.claim(self._clock(), LEASE, self._busy_hosts())
            if delivery is None:
                return self._pause_s()
            self._begin(delivery)
        return LOOK_EVERY_S

    def _pause_s(self) -> float:
        due_at = self._deliveries.next_due(self._busy_hosts())
        if due_at is None:
            return LOOK_EVERY_S
        return min(LOOK_EVERY_S, max(0.0, (due_at - self._clock()).total_seconds()))

    def _busy_hosts(self) -> list[str]:
        with self._lock:
            return [host for host, count in self._hosts.items() if count >= IN_FLIGHT_PER_HOST]

    def _begin(self, delivery: Delivery) -> None:
        thread = threading.Thread(target=self._send, args=(delivery,), name="webhook", daemon=True)
        with self._lock:
            self._hosts[delivery.host] += 1
            self._sending.add(thread)
        thread.start()

    def _send(self, delivery: Delivery) -> None:
        assert self._key is not None
        try:
            self._keep(delivery, deliver(delivery, self._key, self._rules, self._clock()))
        except LedgerUnavailable:
            log.warning("webhook's try not kept", extra={"webhook_id": str(delivery.id)})
        finally:
            with self._lock:
                self._hosts -= Counter({delivery.host: 1})
                self._sending.discard(threading.current_thread())
            self._wake.set()

    def _keep(self, delivery: Delivery, answer: Answer) -> None:
        told = {
            "webhook_id": str(delivery.id),
            "job_id": str(delivery.job_id),
            "tries": delivery.tries,
            "status": answer.status,
        }
        if answer.is_taken:
            assert answer.status is not None
            self._deliveries.delivered(delivery, answer.status)
            self._count("delivered")
            log.info("webhook delivered", extra=told)
            return
        next_try_at = self._next_try_at(delivery, answer)
        self._deliveries.missed(delivery, answer.status, answer.words, next_try_at)
        self._count("retried" if next_try_at else "given_up")
        event = "webhook to be tried again" if next_try_at else "webhook given up"
        log.warning(event, extra={**told, "error": answer.words})

    def _next_try_at(self, delivery: Delivery, answer: Answer) -> datetime | None:
        """None when it was told to stop, or has been tried often enough."""
        if answer.is_unwanted or delivery.tries > len(self._pauses_s):
            return None
        pause_s = self._pauses_s[delivery.tries - 1]
        asked_s = min(answer.retry_after_s, MAX_RETRY_AFTER_S)
        jittered_s = max(pause_s, asked_s) * (1 + JITTER * random.random())
        return self._clock() + timedelta(seconds=jittered_s)
