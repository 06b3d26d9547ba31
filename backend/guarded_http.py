"""One HTTP request to where a caller says, within `backend.addresses`' rules and bounded time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from ipaddress import ip_address
from typing import Any, cast

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from backend.addresses import AddressRules

READ_BYTES = 64 * 1024
Place = tuple[int, tuple[Any, ...]]
"""An address family, and an address and port in it as sockets take them."""


@contextmanager
def guarded_request(
    method: str,
    url: str,
    rules: AddressRules,
    *,
    headers: Mapping[str, str],
    data: bytes | None = None,
    connect_timeout_s: float = 5.0,
    read_timeout_s: float = 15.0,
    total_timeout_s: float = 30.0,
) -> Iterator[requests.Response]:
    """The answer to one request, its body not yet read; the connection ends with the context.

    Looking the name up and connecting take `connect_timeout_s` together. No redirects, no
    cookies, no proxies, no retries, and certificates are verified for the name in `url`.

    Raises AddressRefused where `rules` forbid it, requests.RequestException, and while the
    body is read urllib3.exceptions.HTTPError and OSError.
    """
    adapter = GuardedAdapter(rules, total_timeout_s)
    with requests.Session() as session:
        session.trust_env = False
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.headers.clear()
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        with session.request(
            method,
            url,
            headers={"Accept-Encoding": "identity", "Connection": "close", **headers},
            data=data,
            timeout=(connect_timeout_s, read_timeout_s),
            allow_redirects=False,
            stream=True,
        ) as response:
            yield response


class OverlongBody(Exception):
    """The answer's body is longer than was to be read."""


def whole_body(response: requests.Response, max_bytes: int) -> bytes:
    """The body of a `guarded_request`'s answer, as it came.

    Raises OverlongBody past `max_bytes`, requests.ReadTimeout when its time was up before its
    end, and what reading raises.
    """
    body = bytearray()
    try:
        for piece in response.raw.stream(READ_BYTES, decode_content=False):
            body += piece
            if len(body) > max_bytes:
                raise OverlongBody(f"holds more than the {max_bytes:,} bytes that are taken")
    finally:
        cast("GuardedAdapter", response.connection).require_time_left()
    return bytes(body)


class GuardedAdapter(HTTPAdapter):
    """requests' transport within `rules`. What `total_s` after a request still runs is cut."""

    def __init__(self, rules: AddressRules, total_s: float) -> None:
        super().__init__(max_retries=0)
        self._rules = rules
        self._timer = threading.Timer(total_s, self._cut)
        self._timer.daemon = True
        self._is_cut = False
        self._sockets: list[socket.socket] = []

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        self._rules.check_url(request.url or "")
        self._timer.start()
        response = super().send(request, *args, **kwargs)
        try:
            self.require_time_left()
        except requests.ReadTimeout:
            response.close()
            raise
        return response

    def require_time_left(self) -> None:
        """Raises requests.ReadTimeout after a cut: what was heard may look like all there is."""
        if self._is_cut:
            raise requests.ReadTimeout("the answer took too long in all")

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> HTTPConnectionPool:
        pool: Any = super().get_connection_with_tls_context(*args, **{**kwargs, "proxies": None})
        kind = _SecureConnection if pool.scheme == "https" else _Connection
        pool.ConnectionCls = partial(kind, adapter=self)
        return cast("HTTPConnectionPool", pool)

    def close(self) -> None:
        self._timer.cancel()
        super().close()

    def places(self, host: str, port: int, timeout_s: float) -> list[Place]:
        """Where `host` is. Raises AddressRefused if any of it is forbidden, OSError."""
        found = _looked_up(host, port, timeout_s)
        for _, place in found:
            self._rules.check_address(ip_address(place[0]))
        return found

    def opened(self, connection: socket.socket) -> None:
        self._sockets.append(connection)

    def _cut(self) -> None:
        """A peer that sends a byte now and then would hold us for ever: timeouts start anew."""
        self._is_cut = True
        for connection in self._sockets:
            with suppress(OSError):
                # Not SSLSocket's own, which takes the ground from under the reading thread.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)


class _Connection(HTTPConnection):
    """Connects to what `adapter` finds and allows; Host and certificate stay the name's."""

    def __init__(self, *args: Any, adapter: GuardedAdapter, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._adapter = adapter

    def connect(self) -> None:
        super().connect()
        self._adapter.opened(self.sock)

    def _new_conn(self) -> socket.socket:
        timeout_s = float(self.timeout or 0)
        deadline = time.monotonic() + timeout_s
        try:
            places = self._adapter.places(self._dns_host.strip("[]"), self.port, timeout_s)
        except (OSError, UnicodeError) as error:
            raise NameResolutionError(self.host, self, socket.gaierror()) from error
        try:
            connection = _connected(places, deadline)
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "no connection in time") from error
        except OSError as error:
            raise NewConnectionError(self, "no connection") from error
        connection.settimeout(timeout_s)
        return connection


class _SecureConnection(_Connection, HTTPSConnection):
    """The same over TLS."""


def _looked_up(host: str, port: int, timeout_s: float) -> list[Place]:
    """In a thread of its own, since the system's resolver takes the time it likes."""
    answer: Future[list[Place]] = Future()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answer.set_result([(family, place) for family, _, _, _, place in found])
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=ask, name="resolver", daemon=True).start()
    return answer.result(timeout_s)


def _connected(places: list[Place], deadline: float) -> socket.socket:
    """To the first of `places` that takes one, each given its share of the time.

    Raises the OSError of the last.
    """
    failure: OSError = OSError("no address")
    for tried, (family, place) in enumerate(places):
        share_s = (deadline - time.monotonic()) / (len(places) - tried)
        if share_s <= 0:
            raise TimeoutError
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(share_s)
            connection.connect(place)
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection
    raise failure
