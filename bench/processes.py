"""Servers under measurement: started, and what they and their children take of the machine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.running import ROOT, START_TIMEOUT_S, accepts, wait_until

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_KIB = 1024


@dataclass(frozen=True)
class Usage:
    """Resident memory now and at its highest, and processor time so far."""

    memory_mb: float
    peak_mb: float
    cpu_s: float


def usage(*pids: int) -> Usage:
    """Of these processes and all below them; the peak is the sum of each one's own."""
    parts = [_own(process) for pid in pids for process in family(pid)]
    return Usage(
        sum(part.memory_mb for part in parts),
        sum(part.peak_mb for part in parts),
        sum(part.cpu_s for part in parts),
    )


def forget_peak(*pids: int) -> None:
    """Let the peaks of these processes and all below them begin anew."""
    for process in (process for pid in pids for process in family(pid)):
        with suppress(OSError):
            Path(f"/proc/{process}/clear_refs").write_text("5")


def family(pid: int) -> list[int]:
    """The process and all below it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(process for child in children for process in family(int(child)))]


@contextmanager
def serving(
    command: Sequence[str], port: int, log: Path, env: Mapping[str, str] | None = None
) -> Iterator[int]:
    """`command` once it accepts connections on `port`; yields its process id, ends it after.

    It inherits nothing of the environment but PATH and HOME.
    """
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**inherited, **(env or {})}, stdout=output, stderr=output
        )
    try:
        wait_until(lambda: _is_up(process, port, log), f"{command[0]} listens", START_TIMEOUT_S)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _is_up(process: subprocess.Popen[bytes], port: int, log: Path) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"{process.args!r} ended: {log.read_text()[-2000:]}")
    return accepts(port)


def _own(pid: int) -> Usage:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    told = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    memory_mb, peak_mb = (int(told[name].split()[0]) / _KIB for name in ("VmRSS", "VmHWM"))
    return Usage(memory_mb, peak_mb, (int(fields[11]) + int(fields[12])) / TICKS_PER_S)
