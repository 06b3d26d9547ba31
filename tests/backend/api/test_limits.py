"""Who may ask how often, counted by a real Redis and without one."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.fake_webui import FakeWebUI
from tests.running import API, Sluice, running_redis, running_sluice

SMALL = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 1}
FAST_START = {"CPU_FALLBACK": "false"}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def gateway(stack: ExitStack, folder: Path, **env: str) -> Sluice:
    folder.mkdir(exist_ok=True)
    webui = stack.enter_context(FakeWebUI())
    return stack.enter_context(
        running_sluice(folder, {"SD_WEBUI_URL": webui.url, **FAST_START, **env})
    )


def test_the_eleventh_generation_in_a_minute_is_refused(stack: ExitStack, tmp_path: Path) -> None:
    sluice = gateway(stack, tmp_path)
    answers = [sluice.post("txt2img", json=SMALL) for _ in range(11)]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429]
    first, last = answers[0], answers[-1]
    assert first.headers["RateLimit-Policy"] == (
        '"generation";q=10;w=60, "global-minute";q=50;w=60, "global-hour";q=500;w=3600'
    )
    assert first.headers["RateLimit"].startswith('"generation";r=9;t=60')
    assert first.headers["X-RateLimit-Limit"] == "10"
    assert first.headers["X-RateLimit-Remaining"] == "9"
    assert "Retry-After" not in first.headers
    problem = last.json()
    assert problem["code"] == "rate_limited"
    assert 1 <= int(last.headers["Retry-After"]) <= 60
    assert last.headers["X-RateLimit-Remaining"] == "0"
    assert sluice.get(f"{API}/models").status_code == 200


def test_an_invalid_request_uses_up_its_own_hit_and_no_more(
    stack: ExitStack, tmp_path: Path
) -> None:
    sluice = gateway(stack, tmp_path, RATELIMIT_GENERATION="3/minute")
    invalid = sluice.post("txt2img", json={"prompt": ""})
    assert invalid.status_code == 422
    assert invalid.headers["X-RateLimit-Remaining"] == "2"
    assert [sluice.post("txt2img", json=SMALL).status_code for _ in range(3)] == [200, 200, 429]


def test_health_and_metrics_are_never_limited(stack: ExitStack, tmp_path: Path) -> None:
    sluice = gateway(stack, tmp_path, RATELIMIT_GLOBAL="2/minute")
    paths = [f"{API}/health", f"{API}/health/live", f"{API}/health/ready", "/metrics", "/docs"]
    assert [sluice.get(path).status_code for path in paths * 2] == [200] * 10
    assert [sluice.get(f"{API}/samplers").status_code for _ in range(3)] == [200, 200, 429]


def test_two_gateways_count_as_one_through_redis(stack: ExitStack, tmp_path: Path) -> None:
    url, _ = stack.enter_context(running_redis(tmp_path))
    gateways = [gateway(stack, tmp_path / name, REDIS_URL=url) for name in ("one", "two")]
    with ThreadPoolExecutor(16) as clients:
        answers = list(
            clients.map(lambda n: gateways[n % 2].post("txt2img", json=SMALL), range(40))
        )
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(200) == 10
    assert statuses.count(429) == 30


def test_a_stalled_redis_holds_nobody_up_and_comes_back(stack: ExitStack, tmp_path: Path) -> None:
    url, redis = stack.enter_context(running_redis(tmp_path))
    sluice = gateway(stack, tmp_path / "one", REDIS_URL=url, RATELIMIT_GENERATION="100/minute")
    assert sluice.post("txt2img", json=SMALL).headers["X-RateLimit-Remaining"] == "49"
    redis.send_signal(signal.SIGSTOP)
    assert [sluice.post("txt2img", json=SMALL).status_code for _ in range(3)] == [200] * 3
    assert sluice.get(f"{API}/health").json()["redis"]["status"] == "failing"
    redis.send_signal(signal.SIGCONT)
    deadline = time.monotonic() + 30
    while sluice.get(f"{API}/health").json()["redis"]["status"] != "ok":
        assert time.monotonic() < deadline
    assert sluice.post("txt2img", json=SMALL).status_code == 200


@pytest.mark.parametrize(("hops", "shared"), [("0", True), ("1", False)])
def test_forwarded_addresses_count_only_from_trusted_proxies(
    stack: ExitStack, tmp_path: Path, hops: str, shared: bool
) -> None:
    sluice = gateway(stack, tmp_path, RATELIMIT_GLOBAL="1/minute", TRUSTED_PROXIES=hops)
    statuses = [
        sluice.get(f"{API}/models", headers={"X-Forwarded-For": address}).status_code
        for address in ("203.0.113.1", "203.0.113.2", "2001:db8::1", "2001:db8::2")
    ]
    assert statuses == ([200, 429, 429, 429] if shared else [200, 200, 200, 429])
