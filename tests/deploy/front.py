"""The shipped nginx configuration at work, only its ports, paths and gateways put in place."""

from __future__ import annotations

import grp
import os
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import requests
from requests.adapters import HTTPAdapter

from tests.running import ROOT, accepts, free_port, installed, wait_until

SHIPPED = ROOT / "deploy" / "nginx"

_STOCK = """
worker_processes 2;
worker_rlimit_nofile 2048;
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 768; }}
http {{
    sendfile on;
    {system}
    {temporary}
    include {folder}/sluice/sluice.conf;
}}
"""
"""What a system's own nginx.conf says, as far as it matters."""

_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")

_GROUP = grp.getgrgid(os.getegid()).gr_name
"""The gateway's: nginx is of it, and otherwise nobody, as deploy/README.md has it."""


@contextmanager
def folder_for_the_group() -> Iterator[Path]:
    """A folder whose group may enter it; pytest's own are their owner's alone."""
    with TemporaryDirectory(prefix="sluice-front-") as name:
        folder = Path(name)
        folder.chmod(0o750)
        yield folder


class _From(HTTPAdapter):
    """Connections from another of this machine's addresses."""

    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__()

    def init_poolmanager(self, *arguments: object, **options: object) -> None:
        options["source_address"] = (self._address, 0)
        super().init_poolmanager(*arguments, **options)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Front:
    """A running nginx: its two ports, its certificate, its folder."""

    port: int
    plain_port: int
    folder: Path

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def certificate(self) -> Path:
        return self.folder / "sluice" / "tls" / "fullchain.pem"

    def client(self, address: str = "127.0.0.1") -> requests.Session:
        """A caller at `address` (any in 127/8) who trusts the certificate."""
        session = requests.Session()
        session.trust_env = False
        session.verify = str(self.certificate)
        session.mount("https://", _From(address))
        return session

    def socket(self, address: str = "127.0.0.1") -> ssl.SSLSocket:
        """A connection, the handshake done, for what no client library would send."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        plain = socket.create_connection(
            ("127.0.0.1", self.port), timeout=30, source_address=(address, 0)
        )
        return context.wrap_socket(plain, server_hostname="127.0.0.1")


@contextmanager
def running_front(
    gateways: Sequence[int], data_dir: Path, *, system: str = "", main: str = "", **sooner: str
) -> Iterator[Front]:
    """nginx as shipped before the gateways at those ports, whose images are in `data_dir`.

    `system` is what the system's own nginx.conf says more, `main` the shipped file that stands in
    its place, `sooner` timeouts that a test cannot wait for, by the directive's name.
    """
    program = installed("nginx")
    with folder_for_the_group() as folder:
        front = Front(free_port(), free_port(), folder)
        _install(front, gateways, data_dir, sooner)
        config = folder / "nginx.conf"
        config.write_text(_shipped_main(front, main) if main else _stock_main(folder, system))
        process = subprocess.Popen(
            [program, "-p", str(folder), "-c", str(config), "-g", "daemon off;"]
        )
        try:
            wait_until(lambda: accepts(front.port), "nginx accepts connections")
            yield front
        finally:
            process.terminate()
            process.wait(timeout=10)


def _stock_main(folder: Path, system: str) -> str:
    return _STOCK.format(folder=folder, user=_user(), system=system, temporary=_temporary(folder))


def _shipped_main(front: Front, name: str) -> str:
    places = {
        "user nginx;": _user(),
        "/run/nginx.pid": f"{front.folder}/nginx.pid",
        "/etc/nginx/conf.d/default.conf": f"{front.folder}/sluice/sluice.conf",
        "http {": f"http {{ {_temporary(front.folder)}",
    }
    return _put_in_place((front.folder / "sluice" / name).read_text(), places)


def _user() -> str:
    return f"user nobody {_GROUP};" if os.geteuid() == 0 else ""


def _temporary(folder: Path) -> str:
    return " ".join(f"{what}_temp_path {folder}/{what};" for what in _TEMPORARY)


def _put_in_place(text: str, places: Mapping[str, str]) -> str:
    for there, here in places.items():
        text = text.replace(there, here)
    return text


def _install(
    front: Front, gateways: Sequence[int], data_dir: Path, sooner: Mapping[str, str]
) -> None:
    home = front.folder / "sluice"
    home.mkdir()
    subprocess.run([SHIPPED / "self-signed.sh", home / "tls"], check=True, capture_output=True)
    places = {
        "127.0.0.1:5004": f"127.0.0.1:{free_port()}",
        "/var/cache/nginx/": f"{front.folder}/",
        "/etc/nginx/sluice/": f"{home}/",
        "/var/log/nginx/": f"{front.folder}/",
        "/var/lib/sluice-acme": f"{front.folder}/acme",
        "/var/lib/sluice": str(data_dir),
        "listen 80 ": f"listen 127.0.0.1:{front.plain_port} ",
        "listen 443 ": f"listen 127.0.0.1:{front.port} ",
        "listen [::]:80 ": f"listen [::1]:{front.plain_port} ",
        "listen [::]:443 ": f"listen [::1]:{front.port} ",
        "server 127.0.0.1:5002;": "".join(f"server 127.0.0.1:{port};" for port in gateways),
    }
    for shipped in SHIPPED.glob("*.conf"):
        text = _put_in_place(shipped.read_text(), places)
        for directive, time in sooner.items():
            text = re.sub(rf"^{directive} \S+;", f"{directive} {time};", text, flags=re.MULTILINE)
        (home / shipped.name).write_text(text)


def shipped_seconds(file: str, directive: str) -> int:
    """The time that a shipped file sets by `directive`."""
    found = re.search(rf"^{directive} (\d+)s;", (SHIPPED / file).read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])
