"""Pure: which files a store lets go of."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from uuid import UUID

from backend.storage.folders import Entry

GRACE_S = 60.0
"""How long a new file is safe: its caller has only just been told of it."""
LEFTOVER_AFTER_S = 3600.0
"""When a temporary file is surely a crash's, and no slow writer's."""
FILL_TO = 0.9
RENDITIONS_SHARE = 0.25
"""Renditions are cheap to make again: asking for many must not push the images out."""


def choose(
    entries: Sequence[Entry], *, now: float, max_bytes: int, ttl_s: float, protected: set[UUID]
) -> list[Entry]:
    """Leftovers of crashes, images older than `ttl_s`, then what nobody used for longest.

    Past `max_bytes` images go until nine tenths of it are filled, each with its renditions;
    renditions alone go likewise past a quarter of it. Files younger than a minute stay, and
    so do images in `protected`.
    """
    settled = [entry for entry in entries if entry.created_at <= now - GRACE_S]
    images = [e for e in settled if e.kind == "image" and e.image_id not in protected]
    renditions = [e for e in settled if e.kind == "rendition"]
    originals = {entry.image_id for entry in entries if entry.kind == "image"}
    plan = _Plan(entries)
    plan.drop(settled, lambda e: e.kind == "temporary" and e.created_at <= now - LEFTOVER_AFTER_S)
    plan.drop(images, lambda e: e.created_at <= now - ttl_s)
    plan.drop(renditions, lambda e: e.image_id not in originals)
    if plan.rendition_bytes > max_bytes * RENDITIONS_SHARE:
        enough = max_bytes * RENDITIONS_SHARE * FILL_TO
        plan.drop(_by_use(renditions), lambda _: plan.rendition_bytes > enough)
    if plan.size_bytes > max_bytes:
        plan.drop(_by_use(images), lambda _: plan.size_bytes > max_bytes * FILL_TO)
    return plan.doomed


class _Plan:
    """What goes so far, and how much would be left."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.doomed: list[Entry] = []
        self._kept = {entry.path for entry in entries}
        self._bytes: Counter[str] = Counter()
        self._renditions: defaultdict[UUID | None, list[Entry]] = defaultdict(list)
        for entry in entries:
            self._bytes[entry.kind] += entry.size_bytes
            if entry.kind == "rendition":
                self._renditions[entry.image_id].append(entry)

    @property
    def rendition_bytes(self) -> int:
        return self._bytes["rendition"]

    @property
    def size_bytes(self) -> int:
        return self._bytes.total()

    def drop(self, entries: Sequence[Entry], condition: Callable[[Entry], bool]) -> None:
        """Let go of each entry for which `condition` holds when its turn comes."""
        for entry in entries:
            if entry.path in self._kept and condition(entry):
                self._kept.remove(entry.path)
                self._bytes[entry.kind] -= entry.size_bytes
                self.doomed.append(entry)
                if entry.kind == "image":
                    self.drop(self._renditions[entry.image_id], lambda _: True)


def _by_use(entries: Sequence[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: entry.used_at)
