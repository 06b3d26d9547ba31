"""The engines as routing sees them: places, the checkpoint loaded, who is idle. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice

from ai.pace import Pace

_LOOKED_AT = 64
"""Of idle engines that would do, so many are compared for the fastest."""


@dataclass(frozen=True, slots=True)
class Run:
    """Something under way: its work in megapixel-steps, and what it began with."""

    work: float
    began: float
    switched: bool


@dataclass(slots=True)
class FleetEngine:
    """An engine with `slots` places, 0 while it is not usable. `loaded` is its checkpoint."""

    name: str
    pace: Pace
    slots: int = 0
    loaded: str | None = None
    runs: dict[int, Run] = field(default_factory=dict)

    @property
    def is_free(self) -> bool:
        return len(self.runs) < self.slots

    def is_warm_for(self, checkpoint: str | None) -> bool:
        return checkpoint is None or checkpoint == self.loaded


class Fleet:
    """All engines by name. `places` is how many requests they can run at once."""

    def __init__(self) -> None:
        self.pace = Pace()
        self.places = 0
        self._engines: dict[str, FleetEngine] = {}
        self._usable: set[str] = set()
        self._holders: dict[str | None, set[str]] = {}
        self._idle: dict[str | None, dict[str, None]] = {}

    def __getitem__(self, name: str) -> FleetEngine:
        return self._engines[name]

    def usable(self, names: frozenset[str]) -> frozenset[str]:
        return names & self._usable

    def places_of(self, names: frozenset[str]) -> int:
        return sum(self._engines[name].slots for name in names)

    def warm_places(self, able: frozenset[str], checkpoint: str | None) -> int:
        """The places of those `able` where `checkpoint` is loaded, or being loaded."""
        return self.places_of(able & self._holders.get(checkpoint, set()))

    def seconds_for(self, work: float, names: frozenset[str]) -> float:
        """How long these would take for `work` together."""
        engines = [self._engines[name] for name in names]
        return work / sum(engine.slots / engine.pace.seconds_per_work for engine in engines)

    def set(self, name: str, slots: int, loaded: str | None) -> FleetEngine:
        """Make it so; an engine not known is new."""
        engine = self._engines.get(name)
        if engine is None:
            engine = self._engines[name] = FleetEngine(name, Pace(like=self.pace))
        self.places += slots - engine.slots
        engine.slots = slots
        (self._usable.add if slots else self._usable.discard)(name)
        self.load(engine, loaded)
        return engine

    def load(self, engine: FleetEngine, checkpoint: str | None) -> None:
        """Now it holds `checkpoint`; not idle, until it is said to be."""
        self.set_busy(engine)
        self._holders.get(engine.loaded, set()).discard(engine.name)
        self._holders.setdefault(checkpoint, set()).add(engine.name)
        engine.loaded = checkpoint

    def begin(self, engine: FleetEngine, number: int, run: Run, checkpoint: str | None) -> None:
        self.load(engine, checkpoint if run.switched else engine.loaded)
        engine.runs[number] = run

    def finish(
        self, engine: FleetEngine, number: int, now: float, loaded: str | None, *, learn: bool
    ) -> None:
        run = engine.runs.pop(number)
        if learn:
            engine.pace.learn(run.work, now - run.began, switched=run.switched)
        self.load(engine, loaded)

    # Idle: known to have a free place, and nothing to do with it.

    def set_idle(self, engine: FleetEngine) -> None:
        self._idle.setdefault(engine.loaded, {})[engine.name] = None

    def set_busy(self, engine: FleetEngine) -> None:
        group = self._idle.get(engine.loaded, {})
        if group.pop(engine.name, self) is not self and not group:
            del self._idle[engine.loaded]

    def is_idle(self, engine: FleetEngine) -> bool:
        return engine.name in self._idle.get(engine.loaded, ())

    def idle_warm(self, able: frozenset[str], checkpoint: str | None) -> FleetEngine | None:
        """A fast one of those `able` that has `checkpoint` loaded, or whatever for None."""
        return self._idle_of(able, self._by_plenty() if checkpoint is None else (checkpoint,))

    def idle_cold(self, able: frozenset[str]) -> FleetEngine | None:
        """A fast one of those `able` whose checkpoint most others have idle too."""
        return self._idle_of(able, self._by_plenty())

    def _by_plenty(self) -> list[str | None]:
        return sorted(self._idle, key=lambda loaded: -len(self._idle[loaded]))

    def _idle_of(
        self, able: frozenset[str], checkpoints: Iterable[str | None]
    ) -> FleetEngine | None:
        for checkpoint in checkpoints:
            names = (name for name in self._idle.get(checkpoint, ()) if name in able)
            found = [self._engines[name] for name in islice(names, _LOOKED_AT)]
            if found:
                return min(found, key=lambda engine: engine.pace.seconds_per_work)
        return None
