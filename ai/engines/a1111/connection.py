"""Connections to a WebUI: bounded in time, and knowing which failure means that nothing ran."""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.response import HTTPResponse

HANG_UP_TELLS_WITHIN_S = 0.5
"""A peer that had closed the connection resets it within a round trip of our request; one
that dies of the request works on it first."""
_BROKEN_OFF = (ConnectionResetError, ssl.SSLEOFError)
_SERVER_ERROR = 500


class HungUpBefore(ConnectionResetError):
    """The peer had closed this kept connection before our request, and never read it."""


class _TimedReads(io.RawIOBase):
    """Reads that end when the socket's timeout, as it is now, has passed over all of them.

    What has come is acknowledged at once: a peer whose window is full of a picture would
    otherwise wait 40 ms for the delayed acknowledgement, one time in thirty.
    """

    def __init__(self, sock: socket.socket, reads: io.RawIOBase) -> None:
        self._sock, self._reads = sock, reads
        self._deadline = time.monotonic() + (sock.gettimeout() or 0.0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left_s)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return self._reads.readinto(buffer)

    def close(self) -> None:
        self._reads.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    """An answer whose every byte is to be there within the read timeout, not only the next."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_TimedReads(sock, self.fp.detach()))


class _Connection(HTTPConnection):
    """Tells a peer that had hung up long ago from one that broke off at work.

    Only on a connection used before can the first go unnoticed, and only a failure before
    any answer can be it. Forge closes a connection without saying so after it answered
    5xx: such a one is not used again.
    """

    response_class = _TimedResponse
    _answers = 0
    _is_suspect = False

    def connect(self) -> None:
        self._answers, self._is_suspect = 0, False
        super().connect()

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self._is_suspect:
            self.close()
        try:
            super().request(*args, **kwargs)
        except _BROKEN_OFF as error:
            if self._answers:
                raise HungUpBefore from error
            raise

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        sent_at = time.monotonic()
        try:
            response = super().getresponse()
        except _BROKEN_OFF as error:
            if self._answers and time.monotonic() - sent_at < HANG_UP_TELLS_WITHIN_S:
                raise HungUpBefore from error
            raise
        self._answers += 1
        self._is_suspect = response.status >= _SERVER_ERROR
        return response


class _SecureConnection(_Connection, HTTPSConnection):
    """The same over TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class KeptConnections(HTTPAdapter):
    """requests' transport with those connections, at most `size` kept, and no retries."""

    def __init__(self, size: int) -> None:
        super().__init__(pool_connections=1, pool_maxsize=size, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    def drop_idle(self) -> None:
        """Close those kept, so that the next request connects afresh."""
        self.poolmanager.clear()
