"""Real servers for tests: Sluice under gunicorn, redis-server. Each on a port of its own."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

import pytest
import requests

ROOT = Path(__file__).resolve().parent.parent
API = "/api/v1/ai/generation"
START_TIMEOUT_S = 60.0
LISTENS = "Sluice listens on"
POLL_S = 0.02


def free_port() -> int:
    """One that no outgoing connection will take meanwhile: those are given ports from 32768 on."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_until(happened: Callable[[], bool], what: str, timeout_s: float = 30.0) -> None:
    """Poll until `happened`; fail the test saying that `what` never did."""
    deadline = time.monotonic() + timeout_s
    while not happened():
        if time.monotonic() > deadline:
            pytest.fail(f"never happened: {what}")
        time.sleep(POLL_S)


class Process(Protocol):
    """What subprocess.Popen has, as far as gateways are asked for it."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, sig: int, /) -> None: ...


def started(environ: Mapping[str, str], folder: Path, log: Path) -> Process:
    """`python -m backend` as its users start it."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "backend"],
            cwd=folder,
            env=environ,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


start_gateway = started
"""How gateways are started; tests have a quicker way, set in conftest.py."""


class Sluice:
    """A gateway: its address, its log, its process, which may be ended and started again."""

    process: Process

    def __init__(self, environ: dict[str, str], port: int, data_dir: Path, log: Path) -> None:
        self.environ = environ
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.data_dir = data_dir
        self._log = log
        self.http = requests.Session()
        self.http.trust_env = False

    def start(self) -> None:
        """Serve, on the data and the port of before if it did before."""
        listened = self._log.exists() and self.log().count(LISTENS)
        self.process = start_gateway(self.environ, ROOT, self._log)

        def listening() -> bool:
            if self.process.poll() is not None:
                pytest.fail(f"the server ended: {self.log()}")
            return self.log().count(LISTENS) > listened

        wait_until(listening, "Sluice listens", START_TIMEOUT_S)

    def log(self) -> str:
        return self._log.read_text()

    def get(self, path: str, **options: object) -> requests.Response:
        return self.http.get(self.url + path, timeout=60, **options)  # type: ignore[arg-type]

    def post(self, route: str, **options: object) -> requests.Response:
        return self.http.post(f"{self.url}{API}/{route}", timeout=120, **options)  # type: ignore[arg-type]

    def kill(self) -> None:
        """kill -9, all its processes."""
        self.http.close()
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=10)

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        self.http.close()
        self.process.send_signal(signal_number)
        return self.process.wait(timeout=40)


@contextmanager
def running_sluice(folder: Path, env: Mapping[str, str] | None = None) -> Iterator[Sluice]:
    """`python -m backend` as `make run` starts it, stopped at the end."""
    port = free_port()
    log = folder / "sluice.log"
    data_dir = folder / "data"
    environ = {
        **{k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")},
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "DATA_DIR": str(data_dir),
        "SD_WEBUI_URL": "none",
        "LOG_FORMAT": "json",
        "EMBEDDED_PRECISION": "f32",
        "GRACE_S": "5",
        **(env or {}),
    }
    sluice = Sluice(environ, port, data_dir, log)
    try:
        sluice.start()
        yield sluice
    finally:
        if sluice.process.poll() is None:
            sluice.stop()
        sluice.http.close()


@dataclass(frozen=True)
class WebUIProcess:
    """A fake WebUI in a process of its own, which a test may kill."""

    url: str
    port: int
    process: subprocess.Popen[str]


@contextmanager
def running_fake_webui(*arguments: str) -> Iterator[WebUIProcess]:
    """`python -m tests.fake_webui` with `arguments`, killed at the end."""
    command = [sys.executable, "-m", "tests.fake_webui", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        try:
            yield WebUIProcess(url, int(url.rsplit(":", 1)[1]), process)
        finally:
            process.kill()


def installed(name: str) -> str:
    """Where the program is. Without it the test is skipped; with CI=true it fails."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") or missing(name)


def missing(name: str) -> NoReturn:
    """Skip the test that needs it; with CI=true fail it."""
    complaint = f"{name} is not installed"
    if os.environ.get("CI") == "true":
        pytest.fail(complaint)
    pytest.skip(complaint)


@contextmanager
def running_redis(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A redis-server without persistence: its URL and its process."""
    program = installed("redis-server")
    port = free_port()
    command = [
        program,
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
    ]
    process = subprocess.Popen([*command, "--dir", str(folder)], stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: accepts(port), "redis-server accepts connections")
        yield f"redis://127.0.0.1:{port}/0", process
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(timeout=10)


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
