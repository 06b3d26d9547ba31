"""Four gateways that share a Redis, each with its own WebUI, behind one nginx: exact limits."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
from redis import Redis

from tests.deploy.conftest import BEHIND_NGINX
from tests.deploy.front import Front, running_front
from tests.fake_webui import FakeWebUI
from tests.running import API, Sluice, running_redis, running_sluice, wait_until

GATEWAYS = 4
CALLERS = 200
ACCEPTED = 10
TRIES = 3
"""Other tests may keep this machine so busy that Redis does not answer in 0.1 s."""
LATE, BACK = "limits kept in memory", "limits kept in Redis again"
SMALL = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 1}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_ten_of_two_hundred_at_once_are_accepted(stack: ExitStack, tmp_path: Path) -> None:
    redis_url, _ = stack.enter_context(running_redis(tmp_path))
    webuis = [stack.enter_context(FakeWebUI()) for _ in range(GATEWAYS)]
    gateways = _gateways(stack, tmp_path, redis_url, webuis)
    ports = [gateway.port for gateway in gateways]
    front = stack.enter_context(running_front(ports, tmp_path))

    for _ in range(TRIES):
        before = _times_late(gateways)
        answers = _all_at_once(stack, front)
        if _times_late(gateways) == before:
            break
        _begin_anew(gateways, redis_url, webuis)

    assert Counter(answer.status_code for answer in answers) == {
        200: ACCEPTED,
        429: CALLERS - ACCEPTED,
    }
    assert sum(len(webui.bodies("txt2img")) for webui in webuis) == ACCEPTED
    assert {answer.json()["code"] for answer in answers if answer.status_code == 429} == {
        "rate_limited"
    }
    assert all(1 <= int(a.headers["Retry-After"]) <= 60 for a in answers if a.status_code == 429)
    assert all(_refused(gateway) for gateway in gateways)
    for gateway in gateways:
        gateway.kill()


def _gateways(
    stack: ExitStack, folder: Path, redis_url: str, webuis: list[FakeWebUI]
) -> list[Sluice]:
    def start(number: int) -> Sluice:
        home = folder / f"gateway-{number}"
        home.mkdir()
        env = {"SD_WEBUI_URL": webuis[number].url, "REDIS_URL": redis_url, **BEHIND_NGINX}
        return stack.enter_context(running_sluice(home, env))

    with ThreadPoolExecutor(GATEWAYS) as starters:
        return list(starters.map(start, range(GATEWAYS)))


def _all_at_once(stack: ExitStack, front: Front) -> list[requests.Response]:
    together = threading.Barrier(CALLERS)

    def call(_: int) -> requests.Response:
        client = stack.enter_context(front.client())
        together.wait()
        return client.post(f"{front.url}{API}/txt2img", json=SMALL, timeout=60)

    with ThreadPoolExecutor(CALLERS) as callers:
        return list(callers.map(call, range(CALLERS)))


def _times_late(gateways: list[Sluice]) -> int:
    """How often Redis was: a gateway counts by itself then, and the limits are not exact."""
    return sum(gateway.log().count(LATE) for gateway in gateways)


def _begin_anew(gateways: list[Sluice], redis_url: str, webuis: list[FakeWebUI]) -> None:
    for gateway in gateways:
        wait_until(
            lambda log=gateway.log: log().count(BACK) == log().count(LATE),  # type: ignore[misc]
            "the limits are in Redis again",
        )
    with Redis.from_url(redis_url) as redis:
        redis.flushall()
    for webui in webuis:
        webui.seen.clear()


def _refused(gateway: Sluice) -> int:
    """How many requests this gateway, not nginx, refused by a limit."""
    lines = gateway.get("/metrics").text.splitlines()
    refused = (line for line in lines if "/txt2img" in line and 'status="429"' in line)
    return sum(int(float(line.rsplit(" ", 1)[1])) for line in refused)
