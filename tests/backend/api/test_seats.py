"""Callers who wait leave threads for those who are answered at once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.fake_webui import FakeWebUI
from tests.pictures import b64, png
from tests.running import API, Sluice, running_sluice, wait_until

THREADS = 8
SEATS = 6
SMALL = {"prompt": "a cat", "width": 64, "height": 64, "steps": 1}
TXT2IMG = f"{API}/txt2img"


@pytest.fixture
def webui() -> Iterator[FakeWebUI]:
    with FakeWebUI() as webui:
        yield webui


@pytest.fixture
def sluice(webui: FakeWebUI, tmp_path: Path) -> Iterator[Sluice]:
    env = {"SD_WEBUI_URL": webui.url, "CPU_FALLBACK": "false", "THREADS": str(THREADS)}
    with running_sluice(tmp_path, env | {"RATELIMIT_ENABLED": "false"}) as sluice:
        yield sluice


def post(sluice: Sluice, path: str, body: dict[str, Any]) -> requests.Response:
    return requests.post(sluice.url + path, json=body, timeout=60)


def waiting(sluice: Sluice) -> int:
    """How many of this process's jobs are queued or at work."""
    health = sluice.get(f"{API}/health").json()
    at_work = sum(engine["in_flight"] for engine in health["engines"])
    return int(health["queue"]["waiting"] + at_work)


def test_some_threads_are_never_held(sluice: Sluice, webui: FakeWebUI) -> None:
    webui.model.state.hold()
    with ThreadPoolExecutor(SEATS) as callers:
        held = [callers.submit(post, sluice, TXT2IMG, SMALL) for _ in range(SEATS)]
        try:
            wait_until(lambda: waiting(sluice) == SEATS, "every seat is taken")
            for path, body in (
                (TXT2IMG, SMALL),
                ("/v1/images/generations", {"prompt": "a cat", "size": "64x64"}),
                ("/sdapi/v1/txt2img", SMALL),
                ("/sdapi/v1/interrogate", {"image": b64(png())}),
            ):
                refused = post(sluice, path, body)
                assert refused.status_code == 503
                assert refused.headers["Retry-After"] == "10"
                assert "callers wait" in refused.text
            asked = {"Prefer": "respond-async"}
            queued = sluice.http.post(sluice.url + TXT2IMG, json=SMALL, headers=asked, timeout=60)
            assert queued.status_code == 202
            watching = sluice.get(queued.json()["urls"]["events"])
            assert watching.json()["error"] == "Too many wait already; poll the job instead."
            assert sluice.get(f"{API}/health/live").status_code == 200
        finally:
            webui.model.state.release()
        assert [each.result().status_code for each in held] == [200] * SEATS
    assert post(sluice, TXT2IMG, SMALL).status_code == 200
