"""The short road over a connection that is open: an answer of announced length, read at once.

requests, urllib3 and http.client take a millisecond of a busy processor for what is nearly
always the same few lines. Whatever differs from those is left to them, unread.
"""

from __future__ import annotations

import http.client
import io
import re
import socket
import ssl
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import requests

_HEAD_END = b"\r\n\r\n"
_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([2-5][0-9]{2})(?: [\x20-\x7e]*)?")
_HEADER = re.compile(rb"([A-Za-z0-9!#$%&'*+.^_`|~-]+):[ \t]*([\x20-\x7e]*?)[ \t]*")
_LENGTH = re.compile(rb"[0-9]{1,15}")
_ALL_AT_ONCE_BYTES = 65536
"""A body up to this goes with its head in one piece; a larger one is not copied for that."""
_WITHOUT_BODY = (204, 304)
_TIMEOUT_SLACK_S = 0.05
"""A socket's timeout is set again once this much less is left: each time costs a system call."""


def _bound(sock: socket.socket, option: int, timeout_s: float) -> None:
    """Have calls of one kind end after that long: SO_SNDTIMEO or SO_RCVTIMEO.

    By the kernel, as if there were nothing to read or no room to send; Python's own timeout polls
    before each call. TLS needs that: it reads more than once for one read.
    """
    if isinstance(sock, ssl.SSLSocket):
        sock.settimeout(timeout_s)
        return
    if sock.gettimeout() is not None:
        sock.setblocking(True)
    microseconds = max(1, int(timeout_s * 1e6))
    sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("@ll", *divmod(microseconds, 10**6)))


class _TimedReads(io.RawIOBase):
    """Reads that end when `timeout_s` has passed over all of them.

    What has come is acknowledged at once: a peer whose window is full of a picture would
    otherwise wait 40 ms for the delayed acknowledgement, one time in thirty.
    """

    def __init__(self, sock: socket.socket, reads: io.RawIOBase, timeout_s: float) -> None:
        self._sock, self._reads = sock, reads
        _bound(sock, socket.SO_RCVTIMEO, timeout_s)
        self._set_s = timeout_s
        self._deadline = time.monotonic() + timeout_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("timed out")
        if self._set_s - left_s > _TIMEOUT_SLACK_S:
            _bound(self._sock, socket.SO_RCVTIMEO, left_s)
            self._set_s = left_s
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        found = self._reads.readinto(buffer)
        if found is None:
            raise TimeoutError("timed out")
        return found

    def close(self) -> None:
        self._reads.close()
        super().close()


def timed_stream(sock: socket.socket, timeout_s: float) -> io.BufferedReader:
    """What comes over `sock`, within `timeout_s`, all of it."""
    return io.BufferedReader(_TimedReads(sock, sock.makefile("rb", buffering=0), timeout_s))


class PlainRequest(requests.PreparedRequest):
    """A request that is prepared once and sent often, with another body each time."""

    _opening: bytes
    """Its first two lines as they are sent: its own and Host."""

    @classmethod
    def of(cls, prepared: requests.PreparedRequest) -> PlainRequest:
        request = cls()
        request.__dict__.update(prepared.__dict__)
        host = urlsplit(str(prepared.url)).netloc.rpartition("@")[2]
        # requests' own kind of headers tells no case, and takes its time for that.
        request.headers = dict(prepared.headers)  # type: ignore[assignment]
        request._opening = (
            f"{prepared.method} {prepared.path_url} HTTP/1.1\r\nHost: {host}\r\n".encode()
        )
        return request

    def with_body(self, body: bytes | None, headers: Mapping[str, str]) -> PlainRequest:
        """The same, sending `body`, and `headers` beside its own."""
        request = PlainRequest()
        request.__dict__.update(self.__dict__)
        all_headers = {**self.headers, **headers}
        if body is not None:
            request.body = body
            all_headers["Content-Length"] = str(len(body))
        request.headers = all_headers  # type: ignore[assignment]
        return request

    def head(self) -> bytes:
        """All that goes before the body. Raises ValueError for a value that would end its line."""
        lines = [self._opening]
        for name, value in self.headers.items():
            if not value.isprintable():
                raise ValueError(f"the header {name} cannot be sent")
            lines.append(f"{name}: {value}\r\n".encode("latin-1"))
        return b"".join((*lines, b"\r\n"))


@dataclass(frozen=True, slots=True)
class PlainHead:
    """The head of an answer that needs nothing special: how much follows, and whether more may."""

    status: int
    headers: Mapping[str, str]
    length: int
    keeps_open: bool


def send_plain(sock: socket.socket, request: PlainRequest, timeout_s: float) -> None:
    """All of it within `timeout_s`. Raises OSError."""
    head, body = request.head(), request.body or b""
    assert isinstance(body, bytes)
    deadline = time.monotonic() + timeout_s
    _bound(sock, socket.SO_SNDTIMEO, timeout_s)
    if len(body) <= _ALL_AT_ONCE_BYTES:
        _send_all(sock, head + body, deadline)
    else:
        _send_all(sock, head, deadline)
        _send_all(sock, body, deadline)


def _send_all(sock: socket.socket, data: bytes, deadline: float) -> None:
    """Not by sendall, whose time begins anew with each piece that is taken."""
    unsent = memoryview(data)
    while unsent:
        try:
            unsent = unsent[sock.send(unsent) :]
        except BlockingIOError as error:
            raise TimeoutError("timed out") from error
        if unsent and time.monotonic() > deadline:
            raise TimeoutError("timed out")


def plain_head(stream: io.BufferedReader) -> PlainHead | None:
    """What `stream` begins with, read; None, and nothing is read, where it is anything else.

    Raises OSError, or RemoteDisconnected where nothing comes.
    """
    begun = stream.peek()
    if not begun:
        raise http.client.RemoteDisconnected("closed without an answer")
    end = begun.find(_HEAD_END)
    found = _read_head(begun[:end]) if end >= 0 else None
    if found is not None:
        stream.read(end + len(_HEAD_END))
    return found


def _read_head(head: bytes) -> PlainHead | None:
    first, *lines = head.split(b"\r\n")
    status = _STATUS_LINE.fullmatch(first)
    headers: dict[str, str] = {}
    for line in lines:
        header = _HEADER.fullmatch(line)
        name = header[1].decode().lower() if header else ""
        if header is None or name in headers:
            return None
        headers[name] = header[2].decode()
    if status is None or int(status[1]) in _WITHOUT_BODY:
        return None
    length = headers.get("content-length", "").encode()
    packed = "transfer-encoding" in headers or "content-encoding" in headers
    if packed or not _LENGTH.fullmatch(length):
        return None
    keeps_open = headers.get("connection", "keep-alive").lower() == "keep-alive"
    return PlainHead(int(status[1]), headers, int(length), keeps_open)


class Done(Protocol):
    """Told once that no more will be read, and whether the connection may be used again."""

    def __call__(self, *, usable: bool) -> None: ...


class PlainBody:
    """The body behind `head`, by urllib3's words. It is never packed."""

    def __init__(self, stream: io.BufferedReader, head: PlainHead, done: Done) -> None:
        self.length_remaining = head.length
        self._stream = stream
        self._keeps_open = head.keeps_open
        self._done: Done | None = done

    def read(self, size: int, *, decode_content: bool) -> bytes:
        """`size` bytes, fewer where the connection ends. Raises OSError."""
        found = self._stream.read(size)
        self.length_remaining -= len(found)
        return found

    def close(self) -> None:
        done, self._done = self._done, None
        if done is not None:
            self._stream.close()
            done(usable=self._keeps_open and self.length_remaining == 0)

    release_conn = close


class PlainAnswer(requests.Response):
    """An answer as requests hands it out, made without what nobody here looks at.

    The names of its headers are in small letters.
    """

    _content = None
    _content_consumed = False
    _next = None
    encoding = None

    def __init__(self, request: PlainRequest, head: PlainHead, body: PlainBody) -> None:
        self.request, self.url = request, str(request.url)
        self.status_code = head.status
        self.headers = head.headers  # type: ignore[assignment]
        self.raw = body
        self.history = []
