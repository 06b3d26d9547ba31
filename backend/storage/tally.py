"""A running count of what a store holds."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from backend.storage.base import Usage

NOTHING = Usage(0, 0)


class Tally:
    """Counts files as they are put and removed, and anew when all of them were looked at."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held = NOTHING
        self._changed: dict[Path, Usage] | None = None

    def usage(self) -> Usage:
        return self._held

    def put(self, path: Path, file: Usage) -> None:
        """Count a file that was put at `path`."""
        with self._lock:
            self._held = _sum(self._held, file)
            if self._changed is not None:
                self._changed[path] = file

    def removed(self, path: Path, file: Usage) -> None:
        """Count one off that was removed; it may be another process's, never counted here."""
        with self._lock:
            images, size_bytes = self._held.images, self._held.size_bytes
            self._held = Usage(max(0, images - file.images), max(0, size_bytes - file.size_bytes))
            if self._changed is not None:
                self._changed[path] = NOTHING

    def begin_recount(self) -> None:
        """Take note of each path that changes from here on, until `recounted`."""
        with self._lock:
            self._changed = {}

    def recounted(self, found: Mapping[Path, Usage]) -> None:
        """Hold what was `found`, save for the paths that have changed since."""
        with self._lock:
            self._held = _sum(*{**found, **(self._changed or {})}.values())
            self._changed = None


def _sum(*parts: Usage) -> Usage:
    return Usage(sum(part.images for part in parts), sum(part.size_bytes for part in parts))
