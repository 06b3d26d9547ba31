"""Reading what a WebUI says it has: bounded, paths left out, odd entries passed over."""

from __future__ import annotations

import ntpath
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

from ai.engines.base import Checkpoint, EngineFacts, Sampler
from ai.extras import AUTOMATIC_VAE, MAX_CLIP_SKIP, Skill
from ai.generation import Ability
from ai.tools import TOOLS

_MAX_LISTED = 2000
_MAX_NAME_CHARS = 300
_MAX_ALIASES = 10
CLIP_SKIP = "CLIP_stop_at_last_layers"
VAE = "sd_vae"
_OPTION_OF: dict[Skill, str] = {"clip_skip": CLIP_SKIP, "vae": VAE}
_EXTENSIONS: tuple[Skill, ...] = ("controlnet", "adetailer")
"""Those we build units for; each is the name of its script in lower case."""
_SDCPP_HASH = "8888888888"
"""What stable-diffusion.cpp's server gives for the hash of its only checkpoint."""
_WEBUI_NAMES = {
    "euler": "Euler",
    "euler_a": "Euler a",
    "heun": "Heun",
    "dpm2": "DPM2",
    "dpm++2s_a": "DPM++ 2S a",
    "dpm++2m": "DPM++ 2M",
    "ipndm": "IPNDM",
    "ipndm_v": "IPNDM_V",
    "lcm": "LCM",
    "ddim_trailing": "DDIM",
}
"""stable-diffusion.cpp's samplers by the names the WebUI gives them."""


@dataclass(frozen=True, slots=True)
class Known:
    """An upstream as it described itself.

    `spelling` gives its own name for each sampler, `schedulers` the label for each name, label
    or alias in lower case. `options` are those that a request may override, and how they stood
    when first asked for. `is_sdcpp`: one checkpoint for good, no progress, no interrupt.
    """

    facts: EngineFacts
    spelling: Mapping[str, str]
    schedulers: Mapping[str, str]
    options: Mapping[str, object]
    is_sdcpp: bool

    def with_options(self, options: Mapping[str, object]) -> Known:
        """With the values of `options`, for what a request overrode may have stayed."""
        kept = {name: options.get(name, value) for name, value in self.options.items()}
        return replace(self, options=kept)

    def with_loaded(self, checkpoint: str | None) -> Known:
        """With `checkpoint` as the loaded one, if it is there.

        The options tell what is loaded by default. An override of ours stays in memory after
        they were set back.
        """
        if checkpoint is None or checkpoint not in [found.name for found in self.facts.checkpoints]:
            return self
        return replace(self, facts=replace(self.facts, loaded=checkpoint))


def read_known(
    sd_models: object,
    samplers: object,
    schedulers: object,
    options: object,
    scripts: object = None,
) -> Known | None:
    """From the parsed bodies, the last three None where there are none; None for nonsense."""
    if not isinstance(sd_models, list) or not isinstance(samplers, list):
        return None
    is_sdcpp = any(row.get("hash") == _SDCPP_HASH for row in _rows(sd_models))
    checkpoints = tuple(_checkpoint(row) for row in _rows(sd_models, "model_name"))
    named = [(row["name"], _sampler(row, is_sdcpp)) for row in _rows(samplers, "name")]
    if not named:
        return None
    labels = _scheduler_labels(schedulers)
    facts = EngineFacts(
        checkpoints=checkpoints,
        samplers=tuple(sampler for _, sampler in named),
        schedulers=tuple(dict.fromkeys(labels.values())),
        loaded=_loaded(options, checkpoints),
    )
    spelling = {sampler.name: own for own, sampler in named}
    if is_sdcpp:
        return Known(facts, spelling, labels, {}, is_sdcpp)
    standing = _standing(options)
    facts = replace(facts, skills=_skills(standing, scripts))
    return Known(facts, spelling, labels, standing, is_sdcpp)


def _rows(listed: object, required: str | None = None) -> Iterator[dict[str, Any]]:
    """The entries that are objects, and have a usable name under `required`."""
    if not isinstance(listed, list):
        return
    for row in listed[:_MAX_LISTED]:
        if isinstance(row, dict) and (required is None or is_name(row.get(required))):
            yield row


def is_name(value: object) -> TypeGuard[str]:
    """Whether it can be shown as a name: a short, printable, non-empty string, no full path."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= _MAX_NAME_CHARS
        and value.isprintable()
        and not posixpath.isabs(value)
        and not ntpath.isabs(value)
    )


def _checkpoint(row: Mapping[str, Any]) -> Checkpoint:
    name, title, digest = row["model_name"], row.get("title"), row.get("hash")
    return Checkpoint(
        name=name,
        title=title if is_name(title) else name,
        hash=digest if is_name(digest) and digest != _SDCPP_HASH else None,
    )


def _sampler(row: Mapping[str, Any], is_sdcpp: bool) -> Sampler:
    own = row["name"]
    name = _WEBUI_NAMES.get(own, own) if is_sdcpp else own
    others = [own, *_names(row.get("aliases"))]
    return Sampler(name, tuple(alias for alias in dict.fromkeys(others) if alias != name))


def _scheduler_labels(listed: object) -> dict[str, str]:
    labels: dict[str, str] = {}
    for row in _rows(listed, "name"):
        label = row["label"] if is_name(row.get("label")) else row["name"]
        for name in (label, row["name"], *_names(row.get("aliases"))):
            labels.setdefault(name.casefold(), label)
    return labels


def _standing(options: object) -> dict[str, object]:
    told = options if isinstance(options, dict) else {}
    standing: dict[str, object] = {}
    if isinstance(skip := told.get(CLIP_SKIP), int | float) and 1 <= skip <= MAX_CLIP_SKIP:
        standing[CLIP_SKIP] = int(skip)
    if VAE in told:
        vae = told[VAE]
        standing[VAE] = vae if is_name(vae) else AUTOMATIC_VAE
    return standing


def _skills(options: Mapping[str, object], scripts: object) -> frozenset[Ability]:
    listed = scripts.get("txt2img") if isinstance(scripts, dict) else None
    names = {name.lower() for name in listed if is_name(name)} if isinstance(listed, list) else {}
    by_option = {skill for skill, option in _OPTION_OF.items() if option in options}
    by_script = {skill for skill in _EXTENSIONS if skill in names}
    return frozenset({"webui", *TOOLS, *by_option, *by_script})


def _names(listed: object) -> list[str]:
    names = listed[:_MAX_ALIASES] if isinstance(listed, list) else []
    return [name for name in names if is_name(name)]


def _loaded(options: object, checkpoints: Iterable[Checkpoint]) -> str | None:
    """The checkpoint whose title, with or without its hash, the options name."""
    title = options.get("sd_model_checkpoint") if isinstance(options, dict) else None
    if not isinstance(title, str):
        return None
    bare = title.partition(" [")[0]
    for checkpoint in checkpoints:
        if checkpoint.answers_to(title) or checkpoint.title.partition(" [")[0] == bare:
            return checkpoint.name
    return None
