"""System calls of a running process, as strace tells them."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

MMAP_ABOVE = {"MALLOC_MMAP_THRESHOLD_": "262144"}
"""For the traced process: whatever is bigger has the C library call mmap or mremap."""
WAITING = frozenset({"futex", "epoll_wait", "poll", "clock_nanosleep", "restart_syscall"})
BATCHED = frozenset({"pread64", "pwrite64", "fcntl", "fsync", "fdatasync", "ftruncate"})
"""What the database and the disk are told, for as many requests at once as there happen to be."""
UNSTEADY = WAITING | BATCHED
"""How often these are called depends on how quick the machine is."""
_CALL = re.compile(r"^\d+ +(\w+)\((.*)$", re.MULTILINE)
_ATTACHED_WITHIN_S = 20


class TracingForbidden(Exception):
    """This machine lets nobody trace."""


@dataclass
class Trace:
    """Calls in the order they began: name, and arguments as strace writes them."""

    calls: list[tuple[str, str]] = field(default_factory=list)

    def steady(self) -> int:
        """How many calls there were of the kinds that every machine makes alike."""
        return sum(name not in UNSTEADY for name, _ in self.calls)

    def allocations(self, at_least: int) -> list[int]:
        """Bytes of each piece of memory of so many or more that was had from the system."""
        sizes = (_mapped(name, arguments) for name, arguments in self.calls)
        return [size for size in sizes if size >= at_least]


@contextmanager
def traced(pid: int, log: Path) -> Iterator[Trace]:
    """Filled when the block is left. Raises FileNotFoundError without strace, TracingForbidden."""
    program = shutil.which("strace")
    if program is None:
        raise FileNotFoundError("strace is not installed")
    command = [program, "-f", "-p", str(pid), "-o", str(log)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        if "attached" not in first:
            process.kill()
            raise TracingForbidden(first.strip())
        trace = Trace()
        try:
            yield trace
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=_ATTACHED_WITHIN_S)
    trace.calls += _CALL.findall(log.read_text())


def _mapped(name: str, arguments: str) -> int:
    """Bytes that a call maps newly, or makes room for."""
    parts = arguments.split(", ")
    if name == "mmap" and "MAP_ANONYMOUS" in arguments:
        return int(parts[1])
    return int(parts[2]) if name == "mremap" else 0
