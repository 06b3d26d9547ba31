"""Connections that are kept: who is answered in which order, and that none holds a thread."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.running import API, Sluice, running_sluice

THREADS = 4
LIVE = f"{API}/health/live"


@pytest.fixture(scope="module")
def sluice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sluice]:
    folder: Path = tmp_path_factory.mktemp("sluice")
    with running_sluice(folder, {"THREADS": str(THREADS)}) as sluice:
        yield sluice


def asked(path: str, request_id: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: sluice\r\nX-Request-ID: {request_id}\r\n\r\n".encode()


def test_requests_sent_one_behind_the_other_are_answered_in_turn(sluice: Sluice) -> None:
    names = [f"number-{number}" for number in range(6)]
    last = asked("/nowhere", "last").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with socket.create_connection(("127.0.0.1", sluice.port), timeout=30) as connection:
        connection.sendall(b"".join(asked(LIVE, name) for name in names) + last)
        with connection.makefile("rb") as answers:
            text = answers.read()
    assert re.findall(rb"X-Request-ID: (\S+)", text) == [x.encode() for x in (*names, "last")]
    assert re.findall(rb"HTTP/1.1 (\d+)", text) == [b"200"] * len(names) + [b"404"]


def test_connections_that_are_kept_hold_no_thread(sluice: Sluice) -> None:
    kept = [HTTPConnection("127.0.0.1", sluice.port, timeout=30) for _ in range(3 * THREADS)]
    try:
        for _ in range(3):
            for connection in kept:
                connection.request("GET", LIVE)
                answer = connection.getresponse()
                assert (answer.status, answer.will_close) == (200, False)
                answer.read()
    finally:
        for connection in kept:
            connection.close()
