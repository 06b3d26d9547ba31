"""WebUI sampler names, and which stands nearest to one that an engine lacks."""

from __future__ import annotations

from collections.abc import Sequence

from ai.engines.base import Sampler

_FAMILIES: tuple[tuple[str, ...], ...] = (
    ("Euler a", "DPM2 a", "DPM++ 2S a", "DPM++ SDE", "DPM++ 2M SDE", "DPM++ 3M SDE"),
    ("Euler", "Heun", "LMS", "DPM2", "DPM fast", "DPM adaptive"),
    ("DPM++ 2M", "UniPC", "DEIS", "PLMS", "DDIM", "Euler"),
    ("LCM", "Euler a"),
)
"""Samplers that behave alike: ancestral ones add noise at each step, the others converge."""


def canonical(asked: str, offered: Sequence[Sampler]) -> str | None:
    """The offered name that `asked` means, by name or alias, letter case aside; else None."""
    for sampler in offered:
        if sampler.name == asked:
            return asked
    wanted = asked.casefold()
    for sampler in offered:
        if wanted in [name.casefold() for name in (sampler.name, *sampler.aliases)]:
            return sampler.name
    return None


def split_old_name(
    asked: str, samplers: Sequence[Sampler], schedulers: Sequence[str]
) -> tuple[str, str] | None:
    """Sampler and scheduler in one name, as the WebUI had it before 1.9: "DPM++ 2M Karras".

    None when `asked` is a sampler's own name, or none of the offered in that manner either.
    """
    if canonical(asked, samplers):
        return None
    for scheduler in schedulers:
        stem = asked.casefold().removesuffix(f" {scheduler.casefold()}")
        if canonical(stem, samplers):
            return stem, scheduler
    return None


def nearest(asked: str, offered: Sequence[Sampler]) -> str:
    """The offered sampler whose pictures are most like those of `asked`.

    A member of the same family if there is one, else the first offered.
    """
    names = [sampler.name for sampler in offered]
    for family in _FAMILIES:
        if any(asked.startswith(member) for member in family):
            for member in family:
                if member in names:
                    return member
    return names[0]
