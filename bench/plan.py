"""How long the bench may take, and where it keeps its files meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Plan:
    """`quick` is for trying the bench out: its figures say nothing."""

    folder: Path
    quick: bool = False

    @property
    def rounds(self) -> int:
        return 1 if self.quick else 3

    @property
    def seconds(self) -> float:
        """For one round of one contestant, one connection or few."""
        return 1.0 if self.quick else 2.0

    def room(self, name: str) -> Path:
        """A folder of its own for a part."""
        room = self.folder / name
        room.mkdir()
        return room
