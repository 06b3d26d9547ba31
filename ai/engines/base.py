"""What the pool needs of an engine, and what an engine says of itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from ai.generation import KINDS, Generation, GenerationRequest, Kind, Progress

Tier = Literal["gpu", "cpu"]
Device = Literal["cuda", "cpu"]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Weights an engine has. `name` is stable; `title` may change when a hash is learnt."""

    name: str
    title: str
    hash: str | None = None

    def answers_to(self, asked: str) -> bool:
        """Whether a caller who wrote `asked` means this one: by name, title or hash."""
        return asked in (self.name, self.title, f"{self.name}.safetensors") or (
            self.hash is not None and asked == self.hash
        )


@dataclass(frozen=True, slots=True)
class Sampler:
    """A sampler by the name the WebUI gives it, and what else it answers to."""

    name: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What an engine has and can do, as it said when last asked.

    `loaded` is the checkpoint in memory, None when it does not tell. `schedulers` is empty
    where it takes none.
    """

    checkpoints: tuple[Checkpoint, ...]
    samplers: tuple[Sampler, ...]
    schedulers: tuple[str, ...] = ()
    loaded: str | None = None
    kinds: frozenset[Kind] = field(default=frozenset(KINDS))


class Engine(Protocol):
    """One image maker at one address.

    The pool keeps at most `concurrency` calls of `generate` in flight; `interrupt` and
    `progress` come from other threads and speak of what is running.
    """

    @property
    def name(self) -> str:
        """Unique in the pool, safe to show: no address, no credentials."""
        ...

    @property
    def tier(self) -> Tier: ...

    @property
    def device(self) -> Device: ...

    @property
    def concurrency(self) -> int:
        """How many requests may be in flight there at once."""
        ...

    def describe(self) -> EngineFacts:
        """Ask what it has now. Cheap, with short timeouts.

        Raises EngineError when it does not answer as a working engine does.
        """
        ...

    def generate(
        self, request: GenerationRequest, *, timeout_s: float, stand_in: bool = False
    ) -> Generation:
        """Make the images. `stand_in` allows the nearest sampler where the named one lacks.

        Returns only what was asked, or says in what it is `degraded`. Raises EngineError,
        InvalidRequest (a name it lacks) or GenerationCanceled (interrupted).
        """
        ...

    def interrupt(self) -> None:
        """Stop what is running, within a step or two. Harmless when nothing runs."""
        ...

    def progress(self, *, preview: bool = False) -> Progress | None:
        """How far the running generation is; None when nothing runs or it cannot tell."""
        ...

    def close(self) -> None:
        """Give back connections and memory."""
        ...
