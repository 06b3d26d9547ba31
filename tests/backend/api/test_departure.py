"""A caller who goes away: out of the queue, or his generation interrupted."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from tests.backend.api.conftest import NO_LIMITS
from tests.fake_webui import FakeWebUI
from tests.running import API, Sluice, running_sluice, wait_until

LONG = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 150}
SHORT = LONG | {"steps": 1}


@pytest.fixture
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sluice, FakeWebUI]]:
    """A gateway before a WebUI that takes a while for each step."""
    with FakeWebUI(step_latency_s=0.2) as webui:
        env = {"SD_WEBUI_URL": webui.url, "CPU_FALLBACK": "false", **NO_LIMITS}
        with running_sluice(tmp_path_factory.mktemp("slow"), env) as sluice:
            yield sluice, webui


def asked(sluice: Sluice, body: dict[str, object]) -> socket.socket:
    """A request sent on a connection of its own, its answer not waited for."""
    connection = socket.create_connection(("127.0.0.1", sluice.port), timeout=10)
    data = json.dumps(body).encode()
    head = (
        f"POST {API}/txt2img HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\n\r\n"
    )
    connection.sendall(head.encode() + data)
    return connection


def waiting(sluice: Sluice) -> int:
    return int(sluice.get(f"{API}/health").json()["queue"]["waiting"])


def test_who_leaves_while_it_runs_frees_the_engine(slow: tuple[Sluice, FakeWebUI]) -> None:
    sluice, webui = slow
    connection = asked(sluice, LONG)
    webui.wait_for_requests(1)
    connection.close()
    webui.wait_for_requests(1, "interrupt")
    assert sluice.post("txt2img", json=SHORT).status_code == 200


def test_who_leaves_while_waiting_never_reaches_the_engine(
    slow: tuple[Sluice, FakeWebUI],
) -> None:
    sluice, webui = slow
    with asked(sluice, LONG) as running:
        webui.wait_for_requests(1)
        leaver = asked(sluice, SHORT)
        wait_until(lambda: waiting(sluice) == 1, "the second waits")
        leaver.close()
        wait_until(lambda: waiting(sluice) == 0, "the second left the queue")
        assert len(webui.bodies("txt2img")) == 1
        running.close()
        webui.wait_for_requests(1, "interrupt")
