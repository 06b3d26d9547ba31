"""A caller's checkpoint in Redis: after a restart, and while Redis is away and back."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from backend.compat.sdapi.shared_choices import SharedChoices
from backend.redis_watch import RedisWatch, redis_options
from tests.fake_webui import FakeWebUI
from tests.running import Sluice, running_redis, running_sluice, wait_until

ASKED = {"prompt": "a cat", "steps": 2, "width": 64, "height": 64}


class NoNews:
    def redis_failed(self) -> None: ...

    def limits_degraded(self, degraded: bool) -> None: ...


class House:
    """A Redis and any number of processes that know choices by it."""

    def __init__(self, url: str, pid: int) -> None:
        self.url, self._pid = url, pid
        self.redis = Redis.from_url(url)
        self.watches: list[RedisWatch] = []

    def choices(self, kept_s: float = 1000) -> SharedChoices:
        self.watches.append(RedisWatch(Redis.from_url(self.url, **redis_options()), NoNews()))
        return SharedChoices(self.watches[-1], kept_s)

    @contextmanager
    def stalled(self) -> Iterator[None]:
        os.kill(self._pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._pid, signal.SIGCONT)
        wait_until(lambda: not any(w.is_away for w in self.watches), "Redis is back")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with running_redis(tmp_path) as (url, process):
        house = House(url, process.pid)
        yield house
        for watch in house.watches:
            watch.close()
        house.redis.close()


def test_a_choice_is_the_callers_alone_everywhere_and_for_a_while(house: House) -> None:
    here, there = house.choices(), house.choices()
    here.choose("me", "x")
    assert (there.of("me"), there.of("other")) == ("x", None)
    house.redis.expire("sluice:chosen:me", 5)
    assert here.of("me") == "x"
    assert 5 < int(house.redis.ttl("sluice:chosen:me")) <= 1000, "asking keeps it"
    house.redis.delete("sluice:chosen:me")
    assert here.of("me") is None, "forgotten everywhere"


def test_while_redis_is_away_what_was_seen_last_holds_and_a_choice_is_told_later(
    house: House,
) -> None:
    here, there = house.choices(), house.choices()
    here.choose("me", "x")
    here.choose("you", "x")
    with house.stalled():
        assert here.of("me") == "x"
        here.choose("me", "y")
        assert (here.of("me"), here.of("you"), here.of("other")) == ("y", "x", None)
    assert there.of("me") == "x", "not told yet"
    assert here.of("me") == "y"
    assert there.of("me") == "y"
    there.choose("me", "z")
    assert here.of("me") == "z", "what was told late is not told again"


@pytest.fixture
def restartable(house: House, webui: FakeWebUI, tmp_path: Path) -> Iterator[Sluice]:
    env = {"SD_WEBUI_URL": webui.url, "CPU_FALLBACK": "false", "REDIS_URL": house.url}
    with running_sluice(tmp_path, env) as sluice:
        yield sluice


def test_a_choice_outlives_a_restart(restartable: Sluice, house: House, webui: FakeWebUI) -> None:
    def post(route: str, body: Any) -> Any:
        answer = restartable.http.post(f"{restartable.url}/sdapi/v1/{route}", json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    post("options", {"sd_model_checkpoint": "tinyB"})
    (key,) = house.redis.keys("sluice:chosen:*")
    assert 0 < int(house.redis.ttl(key)) <= 24 * 3600
    restartable.stop()
    restartable.start()
    told = restartable.get("/sdapi/v1/options").json()
    assert told["sd_model_checkpoint"].startswith("tinyB")
    post("txt2img", ASKED)
    sent = webui.bodies("txt2img")[-1]["override_settings"]
    assert sent["sd_model_checkpoint"].startswith("tinyB")
