"""Who stops amid many TLS handshakes takes the place of nobody else."""

from __future__ import annotations

import ctypes
import os
import resource
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.deploy.firewall import require_counting_firewall
from tests.deploy.front import Front, running_front
from tests.running import ROOT, free_port, installed

FIREWALL = ROOT / "deploy" / "nftables" / "sluice.nft"
BEGUN = b"\x16\x03\x01"
"""Of a handshake's first message."""
HALF_OPEN = 1700
"""More than Debian's own 768 connections, for each of two processes."""
HELD = 200
ASKED = 20
CLONE_NEWNET = 0x40000000


@pytest.fixture(autouse=True)
def _many_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def half_open(stack: ExitStack, port: int, address: str, count: int) -> int:
    """Begin so many handshakes from `address`, until `stack` is left: how many were let in."""
    let_in = 0
    server = "::1" if ":" in address else "127.0.0.1"
    for _ in range(count):
        with suppress(ConnectionError):
            connection = socket.create_connection(
                (server, port), timeout=30, source_address=(address, 0)
            )
            stack.enter_context(connection).sendall(BEGUN)
            let_in += 1
    return let_in


def statuses_of_another(front: Front) -> list[int]:
    """What one who comes meanwhile is answered."""
    return [
        front.client("127.0.0.3").get(f"{front.url}/", timeout=5).status_code for _ in range(ASKED)
    ]


def in_a_network_of_its_own(test: Callable[[], None]) -> None:
    """Run `test` where a firewall's rules are nobody else's."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(_leave_the_network).result()
        thread.submit(test).result()


def _leave_the_network() -> None:
    """For this thread and the processes it starts."""
    ip = installed("ip")
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        pytest.skip(f"a network of its own: {os.strerror(ctypes.get_errno())}")
    subprocess.run([ip, "link", "set", "lo", "up"], check=True)
    require_counting_firewall()
    for address in ("2001:db8:1:1::1", "2001:db8:1:1::2", "2001:db8:1:2::1"):
        subprocess.run([ip, "address", "add", f"{address}/128", "dev", "lo", "nodad"], check=True)


def load_firewall(folder: Path, *ports: int) -> None:
    """The shipped rules, for `ports`, twice as after a change."""
    rules = folder / FIREWALL.name
    shipped = FIREWALL.read_text()
    assert "{ 80, 443 }" in shipped
    rules.write_text(shipped.replace("{ 80, 443 }", f"{{ {', '.join(map(str, ports))} }}"))
    for _ in range(2):
        subprocess.run([installed("nft"), "-f", rules], check=True)


def test_compose_has_nginx_take_more_connections_than_one_address_makes(tmp_path: Path) -> None:
    with (
        running_front([free_port()], tmp_path, main="nginx.compose.conf") as front,
        ExitStack() as stack,
    ):
        assert half_open(stack, front.port, "127.0.0.2", HALF_OPEN) == HALF_OPEN
        assert statuses_of_another(front) == [502] * ASKED


def test_the_firewall_leaves_one_address_so_many_connections(tmp_path: Path) -> None:
    def with_debians_own_few_connections() -> None:
        with running_front([free_port()], tmp_path) as front, ExitStack() as stack:
            load_firewall(tmp_path, front.port)
            assert half_open(stack, front.port, "127.0.0.2", HALF_OPEN) == HELD
            assert statuses_of_another(front) == [502] * ASKED

    in_a_network_of_its_own(with_debians_own_few_connections)


def test_the_firewall_counts_an_ipv6_network_as_one_address(tmp_path: Path) -> None:
    def from_three_addresses_of_two_networks() -> None:
        with running_front([free_port()], tmp_path) as front, ExitStack() as stack:
            load_firewall(tmp_path, front.port)
            let_in = [
                half_open(stack, front.port, f"2001:db8:1:{address}", 150)
                for address in ("1::1", "1::2", "2::1")
            ]
            assert let_in == [150, HELD - 150, 150]

    in_a_network_of_its_own(from_three_addresses_of_two_networks)


def test_the_firewall_lets_all_else_be(tmp_path: Path) -> None:
    def on_another_port() -> None:
        with running_front([free_port()], tmp_path) as front, ExitStack() as stack:
            load_firewall(tmp_path, front.port)
            assert half_open(stack, front.plain_port, "127.0.0.2", HELD + 50) == HELD + 50

    in_a_network_of_its_own(on_another_port)
