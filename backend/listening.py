"""Where the service listens."""

from __future__ import annotations

from ipaddress import ip_address


def is_of_this_machine(host: str) -> bool:
    """Whether nobody on another machine reaches what listens at `host`. Names are not looked up."""
    if host == "localhost" or host.startswith("unix:"):
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def base_url(host: str, port: int) -> str:
    """How who is on this machine reaches what listens there."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
