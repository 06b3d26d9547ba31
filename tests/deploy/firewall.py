"""Whether rules like ours can be tried here: not every kernel that tests run on has them."""

from __future__ import annotations

import subprocess

import pytest

from tests.running import installed

_PROBE = """
table inet probe {
    set met { type ipv4_addr; flags dynamic; }
    chain c { type filter hook prerouting priority 0; add @met { ip saddr ct count over 9 } drop; }
}
delete table inet probe
"""


def require_counting_firewall(*enter: str) -> None:
    """Skip the test unless the kernel counts connections, in the network that `enter` leads to."""
    command = [*enter, installed("nft"), "-f", "-"]
    tried = subprocess.run(command, input=_PROBE, capture_output=True, text=True)
    if tried.returncode:
        pytest.skip("this kernel has no firewall that counts connections")
