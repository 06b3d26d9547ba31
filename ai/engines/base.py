"""What the pool needs of an engine, and what an engine says of itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from ai.generation import KINDS, Ability, Generation, GenerationRequest, Kind, Progress
from ai.tools import Tool

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
        return asked in self.spellings

    @property
    def spellings(self) -> tuple[str, ...]:
        """All that callers may write for it."""
        names = (self.name, self.title, f"{self.name}.safetensors")
        return names if self.hash is None else (*names, self.hash)


@dataclass(frozen=True, slots=True)
class Sampler:
    """A sampler by the name the WebUI gives it, and what else it answers to."""

    name: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What an engine has and can do, as it said when last asked.

    `loaded` is the checkpoint in memory, None when it does not tell. `schedulers` is empty
    where it takes none. `skills` are what it can do beyond the `kinds`.
    """

    checkpoints: tuple[Checkpoint, ...]
    samplers: tuple[Sampler, ...]
    schedulers: tuple[str, ...] = ()
    loaded: str | None = None
    kinds: frozenset[Kind] = field(default=frozenset(KINDS))
    skills: frozenset[Ability] = frozenset()

    @property
    def abilities(self) -> frozenset[Ability]:
        """All that a request may need of it."""
        return self.skills | self.kinds


class Known(Protocol):
    """An image maker as others name it."""

    @property
    def name(self) -> str:
        """Unique in the pool, safe to show: no address, no credentials."""
        ...

    @property
    def tier(self) -> Tier: ...

    @property
    def device(self) -> Device: ...


class Engine(Known, Protocol):
    """One image maker at one address.

    The pool keeps at most `concurrency` calls of `generate` in flight; `interrupt` and
    `progress` come from other threads and speak of what is running.
    """

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


ListName = Literal[
    "controlnet/model_list",
    "controlnet/module_list",
    "controlnet/version",
    "embeddings",
    "face-restorers",
    "hypernetworks",
    "latent-upscale-modes",
    "loras",
    "memory",
    "realesrgan-models",
    "samplers",
    "schedulers",
    "sd-models",
    "sd-modules",
    "sd-vae",
    "upscalers",
]
"""What a WebUI can be asked for by GET /sdapi/v1/<name>, its ControlNet by GET /<name>."""


@runtime_checkable
class WebUILike(Protocol):
    """What only a WebUI does beside making images."""

    def use(self, tool: Tool, *, timeout_s: float) -> Generation:
        """Do the work of `tool`, which counts as a request in flight like any other.

        Raises EngineError, or GenerationCanceled when it was interrupted.
        """
        ...

    def listing(self, name: ListName) -> Any:
        """What it answers, bounded and without paths; None where it has no such list.

        Raises EngineError when it does not answer.
        """
        ...
