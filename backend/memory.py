"""How a process that serves treats its memory: pictures of megabytes, many a second."""

from __future__ import annotations

import ctypes
import gc

_MIB = 2**20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""From malloc.h of glibc."""


def keep_buffers() -> None:
    """Have glibc use the memory of one picture for the next, rather than return it each time.

    To be called before threads are started. Returned and taken anew, every page of it costs a
    fault: a seventh of the processor's time for a request of 512x512. At most 32 MiB are kept in
    each of four arenas. Does nothing with another C library.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, 32 * _MIB)
        mallopt(_M_MMAP_THRESHOLD, 16 * _MIB)
        mallopt(_M_ARENA_MAX, 4)


def spare_what_stays() -> None:
    """Keep the collector away from what was loaded at start: going through it takes 0.2 s.

    At the end of the process too, where Python would go through it twice.
    """
    gc.freeze()
