"""Answers on a connection that is open already: the plain ones, and all others."""

from __future__ import annotations

import gzip
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

import pytest

from ai.engines.a1111.client import WebUIClient
from ai.errors import EngineLost, EngineTimeout, WrongResult

BODY = b'{"info": "made"}'
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
FIRST = b"HTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n" + BODY
PACKED = gzip.compress(BODY)
LONG = 16 * 2**20
"""Bytes of a request that no system takes over at once."""
LONG_BODY = b'"' + b"a" * LONG + b'"'
EARLIER = pytest.mark.parametrize("earlier", [0, 1], ids=["first", "on an open connection"])

OTHERS = {
    "plain": FIRST,
    "other words for it": b"HTTP/1.1 200\r\ncontent-length:  %d \r\n\r\n" % len(BODY) + BODY,
    "an error": b"HTTP/1.1 422 Unprocessable Entity\r\n" + LENGTH + b"\r\n" + BODY,
    "in chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"6\r\n" + BODY[:6] + b"\r\na\r\n" + BODY[6:] + b"\r\n0\r\n\r\n",
    "packed": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    % len(PACKED)
    + PACKED,
    "a long head": b"HTTP/1.1 200 OK\r\nX-Note: " + b"x" * 9000 + b"\r\n" + LENGTH + b"\r\n" + BODY,
    "a head twice": b"HTTP/1.1 200 OK\r\nX-Note: a\r\nX-Note: b\r\n" + LENGTH + b"\r\n" + BODY,
    "letters of before": b"HTTP/1.1 200 OK\r\nX-Note: caf\xe9\r\n" + LENGTH + b"\r\n" + BODY,
    "wait a moment": b"HTTP/1.1 100 Continue\r\n\r\n" + FIRST,
}


class Peer:
    """A server of one connection at a time, saying `answers` in turn whatever it is asked.

    Of a long request it reads `piece_bytes` at a time, each after `pause_s`.
    """

    def __init__(
        self,
        *answers: bytes,
        hangs_up: bool = False,
        pause_s: float = 0.0,
        piece_bytes: int = LONG,
    ) -> None:
        self.heard: list[bytes] = []
        self.connections = 0
        self._answers = list(answers)
        self._hangs_up = hangs_up
        self._pause_s, self._piece_bytes = pause_s, piece_bytes
        self._closing = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            with connection, connection.makefile("rb") as stream:
                while (asked := self._request(stream)) and self._answers:
                    self.heard.append(asked)
                    connection.sendall(self._answers.pop(0))
                    if self._hangs_up and not self._answers:
                        break

    def _request(self, stream: IO[bytes]) -> bytes:
        """One request, whole; empty where there is no more."""
        head = b"".join(iter(stream.readline, b"\r\n")) if stream.peek(1) else b""  # type: ignore[attr-defined]
        found = re.search(rb"Content-Length: (\d+)", head)
        left = int(found[1]) if found else 0
        if left < LONG:
            return head + stream.read(left)
        with suppress(ConnectionResetError):
            while left and not self._closing.wait(self._pause_s):
                piece = stream.read(min(left, self._piece_bytes))
                if not piece:
                    break
                left -= len(piece)
        return b"" if left else head


@contextmanager
def asking(
    peer: Peer, max_bytes: int = 2**20, connect_timeout_s: float = 1.0
) -> Iterator[WebUIClient]:
    client = WebUIClient(
        "webui",
        peer.url,
        concurrency=1,
        connect_timeout_s=connect_timeout_s,
        max_answer_bytes=max_bytes,
    )
    try:
        yield client
    finally:
        client.close()
        peer.close()


@pytest.mark.parametrize("kind", OTHERS)
def test_every_way_to_answer_is_understood_and_the_connection_kept(kind: str) -> None:
    peer = Peer(FIRST, OTHERS[kind], FIRST)
    with asking(peer) as client:
        client.post("txt2img", b"{}", timeout_s=5.0)
        reply = client.post("txt2img", b'{"a": 1}', timeout_s=5.0)
        assert reply.body == BODY
        assert reply.status == (422 if kind == "an error" else 200)
        assert client.post("txt2img", b"{}", timeout_s=5.0).body == BODY
    assert peer.connections == 1


def test_the_short_road_says_the_same_as_the_long_one() -> None:
    peer = Peer(FIRST, FIRST)
    with asking(peer) as client:
        for _ in range(2):
            client.post("txt2img", b'{"prompt": "a"}', timeout_s=5.0)
    long, short = (sorted(heard.split(b"\r\n")) for heard in peer.heard)
    assert short == long


@pytest.mark.parametrize("head", [b"Connection: close\r\n", b"Connection: Upgrade, close\r\n"])
def test_a_connection_that_is_to_close_is_not_used_again(head: bytes) -> None:
    peer = Peer(FIRST, b"HTTP/1.1 200 OK\r\n" + head + LENGTH + b"\r\n" + BODY, FIRST)
    with asking(peer) as client:
        for _ in range(3):
            assert client.post("txt2img", b"{}", timeout_s=5.0).body == BODY
    assert peer.connections == 2


def test_an_answer_too_large_is_refused_unread_and_its_connection_dropped() -> None:
    peer = Peer(FIRST, b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\nbegun", FIRST)
    with asking(peer, max_bytes=1000) as client:
        client.post("txt2img", b"{}", timeout_s=5.0)
        with pytest.raises(WrongResult, match="too many bytes"):
            client.post("txt2img", b"{}", timeout_s=5.0)
        assert client.post("txt2img", b"{}", timeout_s=5.0).body == BODY
    assert peer.connections == 2


def test_an_answer_cut_short_is_lost() -> None:
    peer = Peer(FIRST, b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\nbegun", hangs_up=True)
    with asking(peer) as client:
        client.post("txt2img", b"{}", timeout_s=5.0)
        with pytest.raises(EngineLost):
            client.post("txt2img", b"{}", timeout_s=5.0)


def test_an_answer_that_does_not_go_on_is_a_timeout() -> None:
    peer = Peer(FIRST, b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\nbegun", FIRST)
    with asking(peer) as client:
        client.post("txt2img", b"{}", timeout_s=5.0)
        with pytest.raises(EngineTimeout):
            client.post("txt2img", b"{}", timeout_s=0.1)
        assert client.post("txt2img", b"{}", timeout_s=5.0).body == BODY
    assert peer.connections == 2


@EARLIER
def test_sending_may_take_longer_than_connecting(earlier: int) -> None:
    peer = Peer(FIRST, FIRST, pause_s=0.6)
    with asking(peer, connect_timeout_s=0.2) as client:
        for _ in range(earlier):
            client.post("txt2img", b"{}", timeout_s=5.0)
        assert client.post("img2img", LONG_BODY, timeout_s=30.0).body == BODY
    assert peer.connections == 1


@EARLIER
@pytest.mark.parametrize("piece_bytes", [LONG, 1_000], ids=["stalls", "trickles"])
def test_an_upstream_that_does_not_read_on_is_a_timeout(
    earlier: int, piece_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ai.engines.a1111.connection.SEND_S", 0.3)
    peer = Peer(FIRST, FIRST, pause_s=0.6 if piece_bytes == LONG else 0.01, piece_bytes=piece_bytes)
    with asking(peer) as client:
        for _ in range(earlier):
            client.post("txt2img", b"{}", timeout_s=5.0)
        with pytest.raises(EngineTimeout):
            client.post("img2img", LONG_BODY, timeout_s=30.0)
