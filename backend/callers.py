"""Who is asking, and whether they still are."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from typing import Any

from flask import Request

IPV6_CALLER_PREFIX = 64
"""A household or a server has a /64 of its own and may use any address in it (RFC 6177)."""


def caller_of(request: Request) -> str:
    """The name limits and the queue's turns count under: the client's address, IPv6 by its /64.

    Until accounts come a key that a caller invents must not give him a fresh quota, so no
    header counts here but X-Forwarded-For from trusted proxies.
    """
    address = request.remote_addr or "unknown"
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
