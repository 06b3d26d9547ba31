"""A running count of what a store holds."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from backend.storage.base import Usage

NOTHING = Usage(0, 0)


class Tally:
    """Counts files by their paths, so that one told of twice is counted once.

    A file changes on disk a moment before its change is counted here, and all files may be
    counted anew within that moment: by path, the order does not matter.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held = NOTHING
        self._files: dict[Path, Usage] = {}
        self._changed: dict[Path, Usage] | None = None

    def usage(self) -> Usage:
        return self._held

    def put(self, path: Path, file: Usage) -> None:
        """Count the file that was put at `path`, in place of what was there."""
        with self._lock:
            before = self._files.pop(path, NOTHING)
            if file != NOTHING:
                self._files[path] = file
            self._held = Usage(
                self._held.images + file.images - before.images,
                self._held.size_bytes + file.size_bytes - before.size_bytes,
            )
            if self._changed is not None:
                self._changed[path] = file

    def removed(self, path: Path) -> None:
        """Count off the file that was at `path`, if it was counted at all."""
        self.put(path, NOTHING)

    def begin_recount(self) -> None:
        """Take note of each path that changes from here on, until `recounted`."""
        with self._lock:
            self._changed = {}

    def recounted(self, found: Mapping[Path, Usage]) -> None:
        """Hold what was `found`, save for the paths that have changed since."""
        with self._lock:
            changed, self._changed = self._changed or {}, None
            merged = {**found, **changed}
            self._files = {path: file for path, file in merged.items() if file != NOTHING}
            self._held = Usage(
                sum(file.images for file in self._files.values()),
                sum(file.size_bytes for file in self._files.values()),
            )
