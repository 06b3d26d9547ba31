"""Connections to a WebUI: bounded in time, and knowing which failure means that nothing ran."""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPHeaderDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ClosedPoolError
from urllib3.response import HTTPResponse

from ai.engines.a1111.plain_http import (
    PlainAnswer,
    PlainBody,
    PlainHead,
    PlainRequest,
    plain_head,
    send_plain,
    timed_stream,
)

SEND_S = 60.0
"""For all of a request: 20 MB of pictures over a line of 3 Mbit/s take that long."""
HANG_UP_TELLS_WITHIN_S = 0.5
"""A peer that had closed the connection resets it within a round trip of our request; one
that dies of the request works on it first."""
_BROKEN_OFF = (ConnectionResetError, ssl.SSLEOFError)
_SERVER_ERROR = 500


class HungUpBefore(ConnectionResetError):
    """The peer had closed this kept connection before our request, and never read it."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """What http.client takes for a socket: all it does with one is to open a stream."""

    stream: io.BufferedReader

    def makefile(self, _mode: str) -> io.BufferedReader:
        return self.stream


class _TimedResponse(http.client.HTTPResponse):
    """An answer whose every byte is to be there within the read timeout, not only the next."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        stream = timed_stream(sock, sock.gettimeout() or 0.0)
        super().__init__(_Opened(stream), *args, **kwargs)  # type: ignore[arg-type]


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
        # Else urllib3 would have a picture sent in the time that is meant for connecting.
        self.timeout = SEND_S
        self.sock.settimeout(SEND_S)

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self._is_suspect:
            self.close()
        try:
            super().request(*args, **kwargs)
        except _BROKEN_OFF as error:
            self._tell_hang_up(error)
            raise

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        sent_at = time.monotonic()
        try:
            response = super().getresponse()
        except _BROKEN_OFF as error:
            self._tell_hang_up(error, sent_at)
            raise
        self._has_answered(response.status)
        return response

    @property
    def is_ready(self) -> bool:
        """Whether it can take a request without connecting first."""
        return self.sock is not None and not self._is_suspect

    def exchange(
        self, request: PlainRequest, timeout_s: float
    ) -> tuple[io.BufferedReader, PlainHead | http.client.HTTPResponse]:
        """Send `request` where it `is_ready`; the head of the answer, and what comes after it.

        Raises OSError or HTTPException.
        """
        sock = self.sock
        sent_at = None
        try:
            with suppress(BrokenPipeError):  # it may have answered first
                send_plain(sock, request, min(SEND_S, timeout_s))
            sent_at = time.monotonic()
            stream, head = _head_of_answer(sock, request, timeout_s)
        except _BROKEN_OFF as error:
            self._tell_hang_up(error, sent_at)
            raise
        self._has_answered(head.status)
        return stream, head

    def _tell_hang_up(self, error: OSError, sent_at: float | None = None) -> None:
        """Raises HungUpBefore where `error` must be that."""
        at_once = sent_at is None or time.monotonic() - sent_at < HANG_UP_TELLS_WITHIN_S
        if self._answers and at_once:
            raise HungUpBefore from error

    def _has_answered(self, status: int) -> None:
        self._answers += 1
        self._is_suspect = status >= _SERVER_ERROR


class _SecureConnection(_Connection, HTTPSConnection):
    """The same over TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class KeptConnections(HTTPAdapter):
    """requests' transport with those connections, at most `size` kept, and no retries.

    A PlainRequest goes the short road where a connection is open already.
    """

    def __init__(self, size: int) -> None:
        self._pool: Any = None
        super().__init__(pool_connections=1, pool_maxsize=size, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        self._pool = super().get_connection_with_tls_context(*args, **kwargs)
        return self._pool

    def send(self, request: Any, *args: Any, **kwargs: Any) -> requests.Response:
        """As HTTPAdapter has it; for a PlainRequest `timeout` is a pair."""
        pool = self._pool
        if pool is not None and isinstance(request, PlainRequest):
            connection = _ready_one(pool)
            if connection is not None:
                _, answer_s = kwargs["timeout"]
                return self._short_road(pool, connection, request, answer_s)
        return super().send(request, *args, **kwargs)

    def close(self) -> None:
        """Close those kept; the next request connects afresh."""
        self._pool = None  # urllib3 closes what nobody holds any more
        super().close()

    def _short_road(
        self,
        pool: HTTPConnectionPool,
        connection: _Connection,
        request: PlainRequest,
        timeout_s: float,
    ) -> requests.Response:
        try:
            stream, head = connection.exchange(request, timeout_s)
        except BaseException:
            _put_back(pool, connection, usable=False)
            raise
        if isinstance(head, PlainHead):
            done = partial(_put_back, pool, connection)
            return PlainAnswer(request, head, PlainBody(stream, head, done))
        if head.will_close:
            connection.close()
        return self.build_response(request, _as_urllib3(head, pool, connection))


def _ready_one(pool: HTTPConnectionPool) -> _Connection | None:
    try:
        connection = pool._get_conn()
    except ClosedPoolError:
        return None
    if isinstance(connection, _Connection) and connection.is_ready:
        return connection
    pool._put_conn(connection)
    return None


def _put_back(pool: HTTPConnectionPool, connection: _Connection, *, usable: bool) -> None:
    if not usable:
        connection.close()
    pool._put_conn(connection)


def _head_of_answer(
    sock: socket.socket, request: PlainRequest, timeout_s: float
) -> tuple[io.BufferedReader, PlainHead | http.client.HTTPResponse]:
    stream = timed_stream(sock, timeout_s)
    try:
        return stream, plain_head(stream) or _other_head(stream, request)
    except BaseException:
        stream.close()
        raise


def _other_head(
    stream: io.BufferedReader, request: requests.PreparedRequest
) -> http.client.HTTPResponse:
    response = http.client.HTTPResponse(_Opened(stream), method=request.method)  # type: ignore[arg-type]
    response.begin()
    return response


def _as_urllib3(
    response: http.client.HTTPResponse, pool: HTTPConnectionPool, connection: _Connection
) -> HTTPResponse:
    """An answer that http.client has begun to read, as urllib3 hands it on."""
    return HTTPResponse(
        body=response,
        headers=HTTPHeaderDict(response.msg.items()),
        status=response.status,
        reason=response.reason,
        preload_content=False,
        decode_content=False,
        original_response=response,
        pool=pool,
        connection=connection,
    )
