"""A real PostgreSQL for tests, thrown away afterwards."""

from __future__ import annotations

import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg

from tests.running import free_port, missing

BINARIES = Path("/usr/lib/postgresql")
USER = "postgres"
HURRY = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"
"""Nothing here is to outlive the test."""


class Postgres:
    """A running server. Its superuser needs no password."""

    def __init__(self, port: int) -> None:
        self._port = port

    def new_database(self) -> str:
        """The URL of a fresh, empty database."""
        name = f"test_{uuid4().hex}"
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self._url(name)

    def _url(self, database: str) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self._port}/{database}"


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """initdb and a server on a port of its own; skips where PostgreSQL is not installed."""
    binaries = _newest_binaries()
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="sluice-postgres-") as folder:
        data = Path(folder) / "data"
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            owner = pwd.getpwnam(USER)
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        _run(binaries / "initdb", "-D", data, "-U", USER, "-A", "trust", "-N", "--locale=C.UTF-8")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} {HURRY}"
        log = data / "server.log"
        _run(binaries / "pg_ctl", "-D", data, "-l", log, "-o", options, "-w", "start")
        try:
            yield Postgres(port)
        finally:
            _run(binaries / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")


def _newest_binaries() -> Path:
    found = sorted(BINARIES.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    return found[-1].parent if found else missing("postgresql")


def _run(program: Path, *arguments: object) -> None:
    as_other = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--"]
    command = [str(part) for part in (program, *arguments)]
    subprocess.run(
        as_other + command if os.geteuid() == 0 else command,
        check=True,
        cwd="/",
        stdout=subprocess.DEVNULL,
        timeout=60,
    )
