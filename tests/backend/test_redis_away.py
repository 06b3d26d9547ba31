"""A Redis that stalls: one wait for all, generation goes on, and the way back."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis

from backend.redis_watch import ANSWER_TIMEOUT_S, CONNECT_TIMEOUT_S, RedisWatch, redis_options
from backend.redis_windows import GuardedWindows, RedisWindows
from backend.windows import Counted, MemoryWindows, Window
from tests.fake_webui import FakeWebUI
from tests.running import API, Sluice, running_redis, running_sluice, wait_until

SMALL = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 1}
ALLOWED_S = 0.15


class News:
    def __init__(self) -> None:
        self.failures = 0
        self.told: list[bool] = []

    def redis_failed(self) -> None:
        self.failures += 1

    def limits_degraded(self, degraded: bool) -> None:
        self.told.append(degraded)


class Counting(RedisWindows):
    """Counts how often Redis was asked."""

    asked = 0

    def admit(self, windows: Sequence[Window]) -> Counted:
        self.asked += 1
        return super().admit(windows)


@dataclass
class Scene:
    sluice: Sluice
    redis: subprocess.Popen[bytes]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("away")
    with running_redis(folder) as (url, redis), FakeWebUI() as webui:
        env = {
            "REDIS_URL": url,
            "SD_WEBUI_URL": webui.url,
            "CPU_FALLBACK": "false",
            "RATELIMIT_GENERATION": "100/minute",
        }
        with running_sluice(folder, env) as sluice:
            yield Scene(sluice, redis)


def test_the_timeouts_together_stay_within_what_is_allowed() -> None:
    assert CONNECT_TIMEOUT_S + ANSWER_TIMEOUT_S <= ALLOWED_S


def test_only_those_under_way_wait_for_a_stalled_redis(tmp_path: Path) -> None:
    news = News()
    with running_redis(tmp_path) as (url, redis):
        watch = RedisWatch(Redis.from_url(url, **redis_options()), news)
        shared = Counting(watch.client)
        windows = GuardedWindows(shared, MemoryWindows(), watch)
        window = [Window("a", 1000, 60)]
        windows.admit(window)
        counted = windows.admit(window)
        redis.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        assert [s.used for s in counted.give_back()] == [2]
        waited_s = time.monotonic() - began
        for _ in range(50):
            assert windows.admit(window).give_back()[0].used == 0
        assert shared.asked == 2
        assert waited_s >= ANSWER_TIMEOUT_S
        assert news.told == [True]
        redis.send_signal(signal.SIGCONT)
        wait_until(lambda: news.told == [True, False], "the limits are in Redis again")
        assert not windows.admit(window).standings[0].is_refused
        assert shared.asked == 3
        watch.close()


def test_many_callers_at_the_same_moment_are_no_failure_of_redis(tmp_path: Path) -> None:
    news = News()
    with running_redis(tmp_path) as (url, _):
        watch = RedisWatch(Redis.from_url(url, **redis_options()), news)
        connections = watch.client.connection_pool
        asking = [connections.get_connection() for _ in range(300)]
        shared = Counting(watch.client)
        windows = GuardedWindows(shared, MemoryWindows(), watch)
        assert windows.admit([Window("a", 1000, 60)]).standings[0].used == 1
        assert shared.asked == 1
        assert (news.failures, news.told) == (0, [])
        for connection in asking:
            connections.release(connection)
        watch.close()


def test_a_redis_that_answers_but_writes_nothing_is_away_until_it_writes(tmp_path: Path) -> None:
    news = News()
    with running_redis(tmp_path) as (url, _):
        watch = RedisWatch(Redis.from_url(url, **redis_options()), news)
        windows = GuardedWindows(RedisWindows(watch.client), MemoryWindows(), watch)
        window = [Window("a", 1000, 60)]
        watch.client.config_set("min-replicas-to-write", 1)
        assert watch.client.ping()
        assert not windows.admit(window).standings[0].is_refused
        wait_until(lambda: news.failures > 2, "it was looked at again, twice")
        assert (news.told, watch.answers()) == ([True], False)
        watch.client.config_set("min-replicas-to-write", 0)
        wait_until(lambda: news.told == [True, False], "the limits are in Redis again")
        watch.client.config_set("min-replicas-to-write", 1)
        assert not watch.answers()
        watch.close()


def test_a_stalled_redis_stops_nothing_and_is_seen(scene: Scene) -> None:
    sluice = scene.sluice
    sluice.post("txt2img", json=SMALL)
    scene.redis.send_signal(signal.SIGSTOP)
    with ThreadPoolExecutor(4) as callers:
        answers = list(callers.map(lambda _: sluice.post("txt2img", json=SMALL), range(8)))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert "sluice_limiter_degraded 1.0" in sluice.get("/metrics").text
    assert sluice.get(f"{API}/health").json()["redis"]["status"] == "failing"
    scene.redis.send_signal(signal.SIGCONT)
    wait_until(
        lambda: "sluice_limiter_degraded 0.0" in sluice.get("/metrics").text, "Redis counts again"
    )
    assert sluice.get(f"{API}/health").json()["redis"]["status"] == "ok"
    events = [
        json.loads(line)["event"] for line in sluice.log().splitlines() if line.startswith("{")
    ]
    assert events.count("limits kept in memory") == 1
    assert events.count("limits kept in Redis again") == 1
