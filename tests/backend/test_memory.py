"""What is done once for the whole process' memory."""

from __future__ import annotations

import subprocess
import sys

LOOK = """
import ctypes, gc
from backend.memory import keep_buffers, spare_what_stays
libc = ctypes.CDLL(None)
{first}
PAGES, MIB = 4096, 2**20

def faults(size: int) -> int:
    import resource
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        bytearray(size)[::PAGES] = b"x" * (size // PAGES)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults(4 * MIB)
print(faults(4 * MIB), gc.get_freeze_count())
"""


def looked(first: str) -> tuple[int, int]:
    command = [sys.executable, "-c", LOOK.format(first=first)]
    faults, frozen = subprocess.check_output(command, text=True).split()
    return int(faults), int(frozen)


def test_the_memory_of_a_picture_is_used_for_the_next() -> None:
    returned, _ = looked("libc.mallopt(-3, 128 * 1024)")
    kept, _ = looked("keep_buffers()")
    assert returned > 50 * 1000
    assert kept < 1000


def test_what_was_loaded_at_start_is_not_gone_through_again() -> None:
    assert looked("pass")[1] == 0
    assert looked("spare_what_stays()")[1] > 1000
