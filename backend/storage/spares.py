"""Files made ready before their images come, off the road of the answer."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path

from backend.storage.files import NO_ROOM, name_file, write_all

log = logging.getLogger(__name__)

SPARES = 8
"""Ready at most, with 32 MB of memory. Half of them are made at a time: each time the thread
wants the interpreter from those who answer requests."""
_MOST_BYTES = 4 * 2**20
_PIECE_BYTES = 2**16
_PIECES_AT_ONCE = 16
_OPEN = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
_CLOSE_TIMEOUT_S = 5.0


class Spares:
    """Empty files with memory for an image like the last, made in `folder` by a thread.

    The memory for a file is had from the system while it is written, page by page: of the 2.3
    ms in which 0.5 MB were kept on a virtual machine, 1.9. Between two images there is time for it.

    They have no name (O_TMPFILE, open(2)), so that nothing is left of them whatever becomes of
    this process. A file system without such files (NFS) has no spares.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ready: deque[int] = deque()
        self._image_bytes = 0
        self._can_be_named = True
        self._scratch = bytearray(_PIECE_BYTES)
        self._wanted = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="image-spares", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Give back those that are ready."""
        self._closing = True
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_TIMEOUT_S)
        while self._ready:
            os.close(self._ready.popleft())

    def write(self, path: Path, data: bytes) -> os.stat_result | None:
        """Write `data` to `path`, where nothing is, as `write_atomically` does.

        None, and nothing is left of it, where no spare is ready or something went wrong: the
        ordinary way will do, or tell what the matter is.
        """
        self._image_bytes = len(data)
        if self._can_be_named and len(self._ready) <= SPARES // 2:
            self._wanted.set()
        try:
            return self._written(self._ready.popleft(), path, data)
        except (IndexError, OSError):
            return None

    def _written(self, descriptor: int, path: Path, data: bytes) -> os.stat_result:
        try:
            write_all(descriptor, data)
            os.ftruncate(descriptor, len(data))
            status = os.fstat(descriptor)
            self._name(descriptor, path)
        finally:
            os.close(descriptor)
        return status

    def _name(self, descriptor: int, path: Path) -> None:
        """Where one cannot be named none can: no more, or each image would be written twice."""
        try:
            name_file(descriptor, path)
        except OSError as error:
            self._can_be_named = error.errno in NO_ROOM
            log.info("spare file not named", extra={"errno": error.errno})
            raise

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            if self._closing:
                return
            with suppress(OSError):  # the next image asks again
                while self._can_be_named and len(self._ready) < SPARES:
                    self._ready.append(self._made())

    def _made(self) -> int:
        """Reading what is not there fills its pages with nothing, and writes nothing to disk."""
        descriptor = os.open(self._folder, _OPEN, 0o600)
        try:
            pieces = -(-min(self._image_bytes, _MOST_BYTES) // _PIECE_BYTES)
            os.ftruncate(descriptor, pieces * _PIECE_BYTES)
            for first in range(0, pieces, _PIECES_AT_ONCE):
                into = [self._scratch] * min(_PIECES_AT_ONCE, pieces - first)
                os.preadv(descriptor, into, first * _PIECE_BYTES)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor
