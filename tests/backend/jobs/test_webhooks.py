"""Webhooks reach real receivers, signed, however often these fail and we restart."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine

from ai.errors import InvalidRequest
from backend.addresses import AddressRules
from backend.jobs.database import open_database
from backend.jobs.deliveries import Deliveries
from backend.jobs.records import LedgerUnavailable
from backend.jobs.signing import signing_key
from backend.jobs.webhooks import IN_FLIGHT_PER_HOST, JITTER, LEASE, WebhookSender
from tests.backend.jobs.webhook_support import (
    BODY,
    SECRET,
    delivery_of,
    end,
    ended_job,
    is_signed,
    promise,
)
from tests.backend.receivers import Receiver, receiving
from tests.running import wait_until

LOCAL = AddressRules(allow_http=True, allow_private=True)
NO_PAUSES = (0.0,) * 8


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(None, tmp_path)
    yield engine
    engine.dispose()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@contextmanager
def sending(database: Engine, **options: Any) -> Iterator[WebhookSender]:
    told = {"key": signing_key(SECRET), "rules": LOCAL, "pauses_s": NO_PAUSES, **options}
    sender = WebhookSender(database, **told)
    sender.start()
    try:
        yield sender
    finally:
        sender.close()


def until_state(database: Engine, job_id: UUID, state: str) -> None:
    wait_until(lambda: delivery_of(database, job_id).state == state, f"delivery {state}")


def until_status(database: Engine, job_id: UUID, status: int) -> None:
    wait_until(lambda: delivery_of(database, job_id).last_status == status, f"{status} kept")


def ids(receiver: Receiver) -> set[str]:
    return {request.headers["webhook-id"] for request in receiver.received}


def test_a_jobs_end_is_told_at_once_and_signed(database: Engine, receiver: Receiver) -> None:
    with sending(database) as sender:
        job_id = promise(database, receiver.url)
        end(database, job_id)
        sender.nudge()
        until_state(database, job_id, "delivered")
    delivery = delivery_of(database, job_id)
    assert (delivery.tries, delivery.last_status, delivery.last_error) == (1, 204, None)
    [received] = receiver.received
    assert received.body == BODY
    assert received.path == "/hook?token=in-url"
    assert received.headers["webhook-id"] == str(delivery.id)
    assert received.headers["Content-Type"] == "application/json"
    assert received.headers["User-Agent"].startswith("Sluice/")
    assert is_signed(received)
    assert not is_signed(received, "whsec_" + "A" * 32)


def test_a_receiver_that_fails_five_times_then_accepts_has_it_under_one_id(
    database: Engine, receiver: Receiver
) -> None:
    receiver.script = [500, 503, 404, 302, 429]
    job_id = ended_job(database, receiver.url)
    with sending(database):
        until_state(database, job_id, "delivered")
    assert len(receiver.received) == delivery_of(database, job_id).tries == 6
    assert ids(receiver) == {str(delivery_of(database, job_id).id)}
    assert all(is_signed(request) for request in receiver.received)


def test_a_restart_between_two_tries_loses_nothing(database: Engine, receiver: Receiver) -> None:
    receiver.script = [500]
    job_id = ended_job(database, receiver.url)
    with sending(database, pauses_s=(3600.0,)):
        until_status(database, job_id, 500)
    waiting = delivery_of(database, job_id)
    assert waiting.next_try_at is not None
    later = waiting.next_try_at
    with sending(database, clock=lambda: later):
        until_state(database, job_id, "delivered")
    assert len(receiver.received) == 2
    assert ids(receiver) == {str(waiting.id)}


def test_a_process_that_died_over_a_try_leaves_it_to_the_next(
    database: Engine, receiver: Receiver
) -> None:
    job_id = ended_job(database, receiver.url)
    now = datetime.now(UTC)
    assert Deliveries(database).claim(now, LEASE, []) is not None
    with sending(database, clock=lambda: now + LEASE):
        until_state(database, job_id, "delivered")
    assert delivery_of(database, job_id).tries == 2


def test_nine_tries_take_over_a_day_with_growing_pauses(
    database: Engine, receiver: Receiver
) -> None:
    receiver.script = list(range(500, 520))
    started = now = datetime.now(UTC) + timedelta(seconds=1)
    job_id = ended_job(database, receiver.url)
    sender = WebhookSender(database, key=signing_key(SECRET), rules=LOCAL, clock=lambda: now)
    sender.start()
    pauses = []
    for status in range(500, 508):
        until_status(database, job_id, status)
        next_try_at = delivery_of(database, job_id).next_try_at
        assert next_try_at is not None
        pauses.append(next_try_at - now)
        now = next_try_at
        sender.nudge()
    until_state(database, job_id, "failed")
    sender.close()
    assert len(receiver.received) == delivery_of(database, job_id).tries == 9
    assert pauses == sorted(pauses)
    assert timedelta(days=1) < now - started < timedelta(days=1.1 * (1 + JITTER))


def test_410_gone_stops_the_tries(database: Engine, receiver: Receiver) -> None:
    receiver.script = [500, 410]
    job_id = ended_job(database, receiver.url)
    with sending(database):
        until_state(database, job_id, "failed")
    assert len(receiver.received) == 2
    assert delivery_of(database, job_id).last_error == "the receiver answered 410"


@pytest.mark.parametrize(
    ("asked", "least_s", "most_s"),
    [
        ("120", 120, 120 * (1 + JITTER)),
        ("999999999999", 3600, 3600 * (1 + JITTER)),
        ("date", 590, 600 * (1 + JITTER)),
        ("-5", 10, 10 * (1 + JITTER)),
        ("soon", 10, 10 * (1 + JITTER)),
        ("1", 10, 10 * (1 + JITTER)),
    ],
)
def test_retry_after_is_honoured_within_bounds(
    database: Engine, receiver: Receiver, asked: str, least_s: float, most_s: float
) -> None:
    now = datetime.now(UTC) + timedelta(seconds=1)
    in_ten_minutes = format_datetime(now + timedelta(seconds=600), usegmt=True)
    receiver.headers = {"Retry-After": in_ten_minutes if asked == "date" else asked}
    receiver.script = [503]
    job_id = ended_job(database, receiver.url)
    with sending(database, pauses_s=(10.0,), clock=lambda: now):
        until_status(database, job_id, 503)
    next_try_at = delivery_of(database, job_id).next_try_at
    assert next_try_at is not None
    assert least_s <= (next_try_at - now).total_seconds() <= most_s


def test_a_slow_receiver_holds_up_no_other(database: Engine, receiver: Receiver) -> None:
    with receiving() as slow:
        slow.is_slow = True
        held_up = [ended_job(database, slow.url) for _ in range(IN_FLIGHT_PER_HOST + 10)]
        url = f"http://localhost:{receiver.port}/hook"
        quick = ended_job(database, url)
        with sending(database):
            until_state(database, quick, "delivered")
            assert len(slow.received) <= IN_FLIGHT_PER_HOST
            slow.let_go.set()
            for job_id in held_up:
                until_state(database, job_id, "delivered")
        assert len(slow.received) == len(ids(slow)) == len(held_up)


def test_two_senders_share_a_database_and_send_each_once(
    database: Engine, receiver: Receiver
) -> None:
    jobs = [ended_job(database, receiver.url) for _ in range(30)]
    with sending(database), sending(database):
        for job_id in jobs:
            until_state(database, job_id, "delivered")
    assert len(receiver.received) == len(ids(receiver)) == 30


def test_a_receiver_out_of_bounds_is_never_reached_and_the_job_says_so(
    database: Engine, receiver: Receiver
) -> None:
    job_id = ended_job(database, receiver.url)
    with sending(database, rules=AddressRules(allow_http=True), pauses_s=()):
        until_state(database, job_id, "failed")
    assert receiver.received == []
    error = delivery_of(database, job_id).last_error
    assert error == "webhook_url is at an address that is not allowed"


def test_a_receiver_that_is_not_there_is_told_in_our_words(database: Engine) -> None:
    with receiving() as gone:
        url = gone.url
    job_id = ended_job(database, url)
    with sending(database, pauses_s=()):
        until_state(database, job_id, "failed")
    delivery = delivery_of(database, job_id)
    assert delivery.last_status is None
    assert delivery.last_error == "the receiver could not be reached"


def test_neither_secrets_nor_urls_are_logged_or_kept_as_errors(
    database: Engine, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    receiver.script = [500, 410]
    job_id = ended_job(database, receiver.url)
    with sending(database) as sender:
        until_state(database, job_id, "failed")
    told = str([vars(record) for record in caplog.records]) + repr(sender)
    told += str(delivery_of(database, job_id).last_error) + repr(delivery_of(database, job_id))
    assert "webhook given up" in told
    for secret in (SECRET, SECRET.removeprefix("whsec_"), "0123456789abcdef", "in-url"):
        assert secret not in told


def test_a_database_out_of_reach_for_a_while_is_waited_for(
    database: Engine, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.jobs.webhooks.LOOK_EVERY_S", 0.01)
    real, failures = Deliveries.claim, [1, 2, 3]

    def failing(self: Deliveries, *arguments: Any) -> Any:
        if failures:
            failures.pop()
            raise LedgerUnavailable("The database cannot be used now.")
        return real(self, *arguments)

    monkeypatch.setattr(Deliveries, "claim", failing)
    job_id = ended_job(database, receiver.url)
    with sending(database):
        until_state(database, job_id, "delivered")


def test_without_a_secret_webhooks_are_refused_and_none_is_sent(
    database: Engine, receiver: Receiver
) -> None:
    job_id = ended_job(database, receiver.url)
    with sending(database, key=None) as sender:
        sender.nudge()
        with pytest.raises(InvalidRequest, match="WEBHOOK_SECRET"):
            sender.check("https://receiver.example/hook")
    assert delivery_of(database, job_id).tries == 0


def test_a_url_we_would_not_send_to_is_refused_at_once(database: Engine) -> None:
    sender = WebhookSender(database, key=signing_key(SECRET), rules=AddressRules())
    sender.check("https://receiver.example/hook")
    for url in ("http://receiver.example/", "https://127.0.0.1/", "https://a:b@receiver.example/"):
        with pytest.raises(InvalidRequest, match="webhook_url"):
            sender.check(url)
