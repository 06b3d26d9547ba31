"""Which addresses callers may have us connect to, and connections that hold to it.

A caller's URL could point at this machine, its neighbours or its cloud's metadata. Its name is
looked up once, every address found is judged, and those very addresses are connected to: a
name server that answers otherwise the second time gains nothing.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from ai.errors import InvalidRequest

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL_CHARS = 2000
WEB_PORTS = frozenset({80, 443})
FIRST_FREE_PORT = 1024
"""Below it and off the web's own ports live mail, file shares and shells."""
_PLAIN = re.compile(r"[!-\[\]-~]+")
"""Printable ASCII without spaces and backslashes, over which URL parsers disagree."""


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


_METADATA = _networks(
    "100.100.100.200/32",  # Alibaba Cloud
    "168.63.129.16/32",  # Azure
    "fd00:ec2::254/128",  # AWS
    "fd20:ce::254/128",  # Google Cloud
)
"""Those of clouds that are not link-local anyway: refused even where private ones are not."""
_PRIVATE = _networks(
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "::1/128",
    "fc00::/7",
)
_NEVER = _networks(
    "0.0.0.0/8",
    "169.254.0.0/16",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/3",
    "2001::/23",  # Teredo among them
    "2001:db8::/32",
    "2002::/16",  # 6to4
    "3fff::/20",
)
"""Special purposes, after the IANA's two registries (RFC 6890)."""
_IPV6_IN_USE = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")


class AddressRefused(Exception):
    """We do not connect there; the message says why, without the address."""


@dataclass(frozen=True, slots=True)
class AddressRules:
    """`allow_http`: unencrypted too. `allow_private`: this machine and its own networks too."""

    allow_http: bool = False
    allow_private: bool = False

    def check_url(self, url: str) -> None:
        """Refuse what can be refused without asking a name server. Raises AddressRefused."""
        parts = _parsed(url)
        if parts.scheme != "https" and not (self.allow_http and parts.scheme == "http"):
            raise AddressRefused("must begin with " + self._schemes())
        if parts.auth is not None:
            raise AddressRefused("must hold no user or password")
        if not parts.host or "%" in parts.host:
            raise AddressRefused("must name a host")
        port = parts.port
        if port is not None and port not in WEB_PORTS and port < FIRST_FREE_PORT:
            raise AddressRefused(f"must have port 80, 443 or one from {FIRST_FREE_PORT}")
        self._check_host(parts.host)

    def check_address(self, address: Address) -> None:
        """Raises AddressRefused for one that is not to be connected to."""
        plain = _without_wrapping(address)
        if not self._allows(plain):
            raise AddressRefused("is at an address that is not allowed")

    def _allows(self, address: Address) -> bool:
        if _is_in(address, _METADATA):
            return False
        if _is_in(address, _PRIVATE):
            return self.allow_private
        if address.version == 6 and address not in _IPV6_IN_USE:
            return False
        return not _is_in(address, _NEVER)

    def _check_host(self, host: str) -> None:
        name = host.strip("[]").rstrip(".").lower()
        if name == "localhost" or name.endswith(".localhost"):
            name = "127.0.0.1"
        literal = _literal(name)
        if literal is not None:
            self.check_address(literal)

    def _schemes(self) -> str:
        return "https:// or http://" if self.allow_http else "https://"


def check_url(url: str, rules: AddressRules, field: str) -> None:
    """Tell the caller at once what is wrong with the URL in `field`. Raises InvalidRequest."""
    try:
        rules.check_url(url)
    except AddressRefused as error:
        raise InvalidRequest(field, str(error)) from None


def _parsed(url: str) -> Url:
    if len(url) > MAX_URL_CHARS:
        raise AddressRefused(f"must have at most {MAX_URL_CHARS} characters")
    if not _PLAIN.fullmatch(url):
        raise AddressRefused("must be plain ASCII without spaces; write other names in punycode")
    try:
        return parse_url(url)
    except LocationParseError:
        raise AddressRefused("must be a URL") from None


def _literal(host: str) -> Address | None:
    """The address that `host` spells, also as resolvers read 127.1, 0x7f.1 and 2130706433."""
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def _without_wrapping(address: Address) -> Address:
    """The IPv4 address that is reached by way of an IPv6 one, else `address`."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address


def _is_in(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)
