"""Gateways as forks of a process that has read the libraries: half of a start is reading them.

What is ours, and what looks at the environment when it is read, each gateway reads for itself.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

LIBRARIES = (
    "alembic.command",
    "flask_limiter",
    "gunicorn.app.wsgiapp",
    "gunicorn.workers.gthread",
    "orjson",
    "pydantic_settings",
    "redis",
    "requests",
    "sqlalchemy.dialects.sqlite",
    "structlog",
)

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload([*LIBRARIES])


class Forked:
    """`python -m backend` in `folder`, as far as subprocess.Popen is asked of one here."""

    def __init__(self, environ: Mapping[str, str], folder: Path, log: Path) -> None:
        log.touch()
        self._process = _forks.Process(target=_run, args=(dict(environ), folder, log))
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("python -m backend", timeout or 0.0)
        return self._process.exitcode

    def send_signal(self, sig: int, /) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)


def _run(environ: dict[str, str], folder: Path, log: Path) -> None:
    os.setsid()
    with log.open("ab") as output:
        for standard in (1, 2):
            os.dup2(output.fileno(), standard)
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(folder)
    sys.argv = ["backend"]
    runpy.run_module("backend", run_name="__main__", alter_sys=True)
