"""Images in a folder of this machine."""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from uuid import UUID, uuid4

from ai.image_files import sniff_whole
from backend.storage.base import Located, StorageError, StoredImage, Usage
from backend.storage.files import TEMPORARY_PREFIX, opened, remove, write_atomically
from backend.storage.folders import Folders
from backend.storage.spares import Spares
from backend.storage.sweeper import Sweeper
from backend.storage.syncer import Syncer
from backend.storage.tally import Tally

log = logging.getLogger(__name__)

GROUP_MAY_READ = 0o640
USE_NOTED_EVERY_S = 3600.0
"""Serving an image writes to the disk no more often than this."""
_HEAD_BYTES = 16
_TAIL_BYTES = 12
_PROBE_BYTES = 4096


class LocalImageStore:
    """Keeps images under `data_dir`, at most `max_bytes` of them, each for at most `ttl_s`.

    An image is there whole or not at all, to whoever looks. It reaches the disk itself a
    little later: one that a power cut spoiled is taken as missing when next asked for.
    `protected` names images not to be evicted. `for_group` lets the files' group read an image
    from when it is first located, for another server to send it. Several processes may share
    the folder; each then counts only its own changes between sweeps.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        max_bytes: int,
        ttl_s: float,
        protected: Callable[[], set[UUID]] | None = None,
        for_group: bool = False,
    ) -> None:
        self._folders = Folders(data_dir)
        self._for_group = for_group
        self._tally = Tally()
        self._spares = Spares(self._folders.images)
        self._syncer = Syncer(self._folders.root)
        self._sweeper = Sweeper(
            self._folders, self._tally, max_bytes=max_bytes, ttl_s=ttl_s, protected=protected
        )
        self._spares.start()
        self._syncer.start()
        self._sweeper.start()

    def put(self, data: bytes, media_type: str) -> StoredImage:
        """Keep a whole PNG, JPEG or WebP under a new id. Raises StorageFull, StorageError."""
        if sniff_whole(data[:_HEAD_BYTES], data[-_TAIL_BYTES:], len(data)) != media_type:
            raise StorageError("The image is not what it is said to be, and was not kept.")
        image_id = uuid4()
        path = self._folders.image(image_id)
        status = self._spares.write(path, data) or write_atomically(path, data)
        self._kept(path, Usage(1, len(data)))
        return _stored(image_id, media_type, status)

    def locate(self, image_id: UUID) -> Located | None:
        """Where an image is; None when there is none, or no longer. Counts as a use of it."""
        with self._opened(image_id, self._folders.image(image_id)) as found:
            return found[1] if found else None

    def read(self, image_id: UUID) -> bytes | None:
        """The bytes of an image; None and a use likewise."""
        with self._opened(image_id, self._folders.image(image_id)) as found:
            return found[0].read() if found else None

    def put_rendition(self, image_id: UUID, name: str, data: bytes) -> Located | None:
        """Keep what was made of an image; None when that is gone by now."""
        path = self._folders.renditions(image_id) / name
        write_atomically(path, data)
        self._kept(path, Usage(0, len(data)))
        if self.locate(image_id) is None:
            self._remove_renditions(image_id)
            return None
        return self.locate_rendition(image_id, name)

    def locate_rendition(self, image_id: UUID, name: str) -> Located | None:
        """Where a rendition is; None when it or its image is not there. A use of both."""
        if self.locate(image_id) is None:
            return None
        with self._opened(image_id, self._folders.renditions(image_id) / name) as found:
            return found[1] if found else None

    def delete(self, image_id: UUID) -> bool:
        """Remove an image and its renditions; whether there was one."""
        was_there = self._remove(self._folders.image(image_id))
        self._remove_renditions(image_id)
        return was_there

    def usage(self) -> Usage:
        """What is held, without looking: near enough, and put right by each sweep."""
        return self._tally.usage()

    def check(self) -> None:
        """Raise StorageError unless an image could be kept now."""
        check_writable(self._folders.root)

    def sweep(self) -> None:
        """Evict now what is too old or too much, rather than when its time comes."""
        self._sweeper.sweep()

    def close(self) -> None:
        """Stop the threads."""
        self._sweeper.close()
        self._syncer.close()
        self._spares.close()

    def _kept(self, path: Path, usage: Usage) -> None:
        self._tally.put(path, usage)
        self._syncer.sync_later()
        self._sweeper.look()

    def _remove(self, path: Path) -> bool:
        was_there = remove(path)
        self._tally.removed(path)
        return was_there

    def _remove_renditions(self, image_id: UUID) -> None:
        folder = self._folders.renditions(image_id)
        with suppress(OSError):
            for rendition in folder.iterdir():
                # One that is being written is taken away by its writer, who finds no image.
                if not rendition.name.startswith(TEMPORARY_PREFIX):
                    self._remove(rendition)
            folder.rmdir()

    @contextmanager
    def _opened(self, image_id: UUID, path: Path) -> Iterator[tuple[BinaryIO, Located] | None]:
        with opened(path) as file:
            if file is None:
                yield None
                return
            status = os.fstat(file.fileno())
            media_type = _media_type(file, status.st_size)
            if media_type is not None:
                _note_use(file, status)
                if self._for_group:
                    _let_group_read(file, status)
                yield file, Located(_stored(image_id, media_type, status), path)
                return
        log.warning("broken image removed", extra={"image_id": str(image_id)})
        with suppress(StorageError):
            self._remove(path)
        yield None


def check_writable(data_dir: Path) -> None:
    """Raise StorageError unless an image could be kept under `data_dir` now."""
    probe = Folders(data_dir).probe()
    write_atomically(probe, bytes(_PROBE_BYTES))
    remove(probe)


def _media_type(file: BinaryIO, size_bytes: int) -> str | None:
    head = os.pread(file.fileno(), _HEAD_BYTES, 0)
    tail = os.pread(file.fileno(), _TAIL_BYTES, max(0, size_bytes - _TAIL_BYTES))
    return sniff_whole(head, tail, size_bytes)


def _note_use(file: BinaryIO, status: os.stat_result) -> None:
    now_ns = time.time_ns()
    if now_ns - status.st_atime_ns > USE_NOTED_EVERY_S * 1e9:
        # An image can still be served from a disk that has become read-only.
        with suppress(OSError):
            os.utime(file.fileno(), ns=(now_ns, status.st_mtime_ns))


def _let_group_read(file: BinaryIO, status: os.stat_result) -> None:
    if stat.S_IMODE(status.st_mode) != GROUP_MAY_READ:
        with suppress(OSError):
            os.fchmod(file.fileno(), GROUP_MAY_READ)


def _stored(image_id: UUID, media_type: str, status: os.stat_result) -> StoredImage:
    created_at = datetime.fromtimestamp(status.st_mtime, UTC)
    return StoredImage(image_id, media_type, status.st_size, created_at)
