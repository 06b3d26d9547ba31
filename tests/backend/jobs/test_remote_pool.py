"""The pools of workers as a web process sees them, while Redis answers and while it does not."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest

from ai.pool import EnginePool
from backend.jobs import remote_pool
from backend.jobs.bulletin import TIMEOUT_S, Bulletin
from backend.jobs.line import Waiting
from backend.jobs.lists import ToldLists
from backend.jobs.remote_pool import RemotePool, report_of
from tests.ai.toy_engine import QUICK, ToyEngine
from tests.running import running_redis, wait_until

KEPT_S = 1.5
READ_S = 0.02


Redis = tuple[str, subprocess.Popen[bytes]]


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with running_redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def bulletin(redis: Redis) -> Iterator[Bulletin]:
    bulletin = Bulletin(redis[0])
    yield bulletin
    bulletin.close()


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch, bulletin: Bulletin) -> Iterator[RemotePool]:
    monkeypatch.setattr(remote_pool, "READ_EVERY_S", READ_S)
    monkeypatch.setattr(remote_pool, "REPORT_KEPT_S", KEPT_S)
    pool = RemotePool(bulletin, "on", Waiting)
    pool.start()
    yield pool
    pool.close()


def sign_in(bulletin: Bulletin, name: str) -> UUID:
    """A worker with one engine of that name, which never signs in again."""
    worker, own = uuid4(), EnginePool([ToyEngine(name)], QUICK)
    own.start()
    try:
        wait_until(own.can_serve, "the worker's engine is up")
        bulletin.sign_in(worker, report_of(own, ToldLists()), 60)
    finally:
        own.close()
    return worker


def names(pool: RemotePool) -> set[str]:
    return {engine.name for engine in pool.status()}


def test_a_worker_that_is_no_longer_told_of_is_gone(bulletin: Bulletin, pool: RemotePool) -> None:
    worker = sign_in(bulletin, "here")
    wait_until(lambda: names(pool) == {"here"}, "the worker is seen")
    bulletin.sign_out(worker)
    wait_until(lambda: not pool.can_serve(), "the worker is gone")


def test_workers_are_there_while_redis_cannot_be_read_and_until_they_could_report_again(
    redis: Redis,
    bulletin: Bulletin,
    pool: RemotePool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    old = sign_in(bulletin, "old")
    wait_until(pool.can_serve, "the worker is seen")
    redis[1].send_signal(signal.SIGSTOP)
    try:
        unread = KEPT_S / TIMEOUT_S + 1
        wait_until(lambda: len(caplog.records) > unread, "reports were long not read")
        assert names(pool) == {"old"}
    finally:
        redis[1].send_signal(signal.SIGCONT)
    bulletin.sign_out(old)
    new = sign_in(bulletin, "new")
    wait_until(lambda: "new" in names(pool), "Redis is read again")
    assert names(pool) == {"new", "old"}
    wait_until(lambda: names(pool) == {"new"}, "who did not report again is gone")
    bulletin.sign_out(new)
