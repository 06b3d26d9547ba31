"""What a process and its children take of the machine, as Linux tells it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """Resident memory and processor time so far."""

    memory_mb: float
    cpu_s: float


def usage(pid: int) -> Usage:
    """Of the process `pid` and all below it."""
    parts = [_own(process) for process in _family(pid)]
    return Usage(sum(p.memory_mb for p in parts), sum(p.cpu_s for p in parts))


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(process for child in children for process in _family(int(child)))]


def _own(pid: int) -> Usage:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    memory_mb = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return Usage(memory_mb, (int(fields[11]) + int(fields[12])) / TICKS_PER_S)
