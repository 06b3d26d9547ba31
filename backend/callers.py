"""Who is asking, and whether they still are."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from flask import Request

from backend.accounts.keys import ApiKey

KEY = "sluice.key"
"""Where, in a request's environment, the API key stands that let it in."""
IPV6_CALLER_PREFIX = 64
"""A household or a server has a /64 of its own and may use any address in it (RFC 6177)."""


def caller_of(request: Request) -> str:
    """The name that limits, the queue's turns, jobs and results go by.

    It is of the key that let the request in, or else of the client's address.
    """
    key = key_of(request)
    return key.caller if key else address_of(request)


def key_of(request: Request) -> ApiKey | None:
    """The API key that let the request in; None where none was asked for."""
    key: ApiKey | None = request.environ.get(KEY)
    return key


def address_of(request: Request) -> str:
    """The client's address, IPv6 by its /64. No header counts but those of trusted proxies."""
    return _household(request.remote_addr or "unknown")


@lru_cache(maxsize=1024)
def _household(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, IPV6_CALLER_PREFIX), strict=False))


def departure(environ: dict[str, Any]) -> Callable[[], bool]:
    """A check whether the client has closed its connection. Always no where none can tell."""
    connection = environ.get("gunicorn.socket")
    if not isinstance(connection, socket.socket):
        return lambda: False
    return lambda: _closed(connection)


def _closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
