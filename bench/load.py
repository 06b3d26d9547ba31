"""The one load generator: wrk, so that no thread of Python is what is measured."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson

SCRIPT = Path(__file__).with_name("load.lua")
CALLERS = 256
"""Addresses that take turns: one alone would fill its window of the limits as nobody does."""
MOST_PREPARED_BYTES = 64 * 2**20
ANSWER_TIMEOUT_S = 120
_MARK = "FIGURES "


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent, by so many `callers` in turn. `headers` beside those HTTP itself needs."""

    path: str
    body: bytes | None = field(default=None, repr=False)
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    callers: int = CALLERS


@dataclass(frozen=True, slots=True)
class Figures:
    """What wrk saw: latencies in milliseconds, corrected for requests not sent while waiting."""

    requests: int
    seconds: float
    received_bytes: int
    failed: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    worst_ms: float

    @property
    def per_s(self) -> float:
        return self.requests / self.seconds


def load(port: int, request: Request, *, connections: int, seconds: float) -> Figures:
    """Keep `connections` busy with `request` for so long. Raises RuntimeError if wrk fails."""
    with tempfile.TemporaryDirectory() as folder:
        body = "-"
        if request.body is not None:
            (Path(folder) / "body").write_bytes(request.body)
            body = f"{folder}/body"
        done = subprocess.run(
            _command(port, request, body, connections, seconds),
            capture_output=True,
            text=True,
            timeout=seconds + 2 * ANSWER_TIMEOUT_S,
            check=False,
        )
    marked = [line for line in done.stdout.splitlines() if line.startswith(_MARK)]
    if done.returncode or not marked:
        raise RuntimeError(f"wrk failed: {done.stdout}{done.stderr}")
    return Figures(**orjson.loads(marked[0].removeprefix(_MARK)))


def _command(port: int, request: Request, body: str, connections: int, seconds: float) -> list[str]:
    callers = max(1, min(request.callers, MOST_PREPARED_BYTES // max(1, len(request.body or b""))))
    return [
        shutil.which("wrk") or "wrk",
        "--threads=1",
        f"--connections={connections}",
        f"--duration={max(1, round(seconds))}s",
        f"--timeout={ANSWER_TIMEOUT_S}s",
        f"--script={SCRIPT}",
        f"http://127.0.0.1:{port}{request.path}",
        "--",
        request.method,
        body,
        str(callers),
        *(f"{name}: {value}" for name, value in request.headers.items()),
    ]
