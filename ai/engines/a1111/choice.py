"""Which sampler, scheduler and checkpoint of a WebUI's own a request means."""

from __future__ import annotations

from dataclasses import dataclass

from ai.engines.a1111.facts import Known
from ai.engines.base import Checkpoint
from ai.errors import UnknownCheckpoint, UnknownSampler, UnknownScheduler
from ai.generation import GenerationRequest
from ai.samplers import canonical, nearest, split_old_name

AUTOMATIC = "Automatic"
"""The scheduler that leaves the choice to the sampler."""
_PREFERRED_SAMPLER = "Euler a"
"""What the WebUI's users had as their default for years; quick, and everywhere to be had."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What to ask for. `spelling` is the upstream's own name for `sampler`.

    `checkpoint` None leaves whichever is set there.
    """

    sampler: str
    spelling: str
    scheduler: str
    checkpoint: Checkpoint | None
    degraded: tuple[str, ...] = ()


def choose(request: GenerationRequest, known: Known, *, stand_in: bool) -> Choice:
    """Raises UnknownSampler or UnknownScheduler unless a `stand_in` will do, UnknownCheckpoint."""
    degraded = []
    asked_sampler, asked_scheduler = _asked_names(request, known)
    sampler = _sampler(asked_sampler, known)
    if sampler is None:
        if not stand_in:
            raise UnknownSampler(asked_sampler or "", list(known.spelling))
        sampler = nearest(asked_sampler or "", known.facts.samplers)
        degraded.append("sampler")
    scheduler = _scheduler(asked_scheduler, known)
    if scheduler is None:
        if not stand_in:
            raise UnknownScheduler(asked_scheduler or "", known.facts.schedulers)
        scheduler = AUTOMATIC
        degraded.append("scheduler")
    checkpoint = _checkpoint(request.checkpoint, known)
    return Choice(sampler, known.spelling[sampler], scheduler, checkpoint, tuple(degraded))


def _asked_names(request: GenerationRequest, known: Known) -> tuple[str | None, str | None]:
    sampler, scheduler = request.sampler_name, request.scheduler
    if sampler is None or scheduler is not None:
        return sampler, scheduler
    both = split_old_name(sampler, known.facts.samplers, known.facts.schedulers)
    return both or (sampler, scheduler)


def _sampler(asked: str | None, known: Known) -> str | None:
    if asked is not None:
        return canonical(asked, known.facts.samplers)
    return canonical(_PREFERRED_SAMPLER, known.facts.samplers) or known.facts.samplers[0].name


def _scheduler(asked: str | None, known: Known) -> str | None:
    if asked is None or asked.casefold() == AUTOMATIC.casefold():
        return AUTOMATIC
    return known.schedulers.get(asked.casefold())


def _checkpoint(asked: str | None, known: Known) -> Checkpoint | None:
    if asked is None:
        return None
    for checkpoint in known.facts.checkpoints:
        if checkpoint.answers_to(asked):
            return checkpoint
    raise UnknownCheckpoint(asked, [checkpoint.name for checkpoint in known.facts.checkpoints])
