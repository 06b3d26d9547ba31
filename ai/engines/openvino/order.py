"""What of a request one diffusion folder can do, and what stands in for the rest."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ai.engines.openvino.folder import DiffusionFolder
from ai.engines.openvino.lora import Lora, LoraFolder, without_tags
from ai.errors import (
    InvalidRequest,
    UnknownCheckpoint,
    UnknownSampler,
    UnknownScheduler,
    UnsupportedRequest,
)
from ai.extras import FILL_WITH_ORIGINAL, Extras
from ai.generation import GenerationRequest
from ai.samplers import canonical, nearest

AUTOMATIC = "Automatic"
"""The one scheduler: the sampler's own."""


@dataclass(frozen=True, slots=True)
class Order:
    """A request in the terms of one folder: each name is one it has.

    `negative_prompt` is None where it must not be sent. `degraded` names the fields in which
    less than the request is done.
    """

    request: GenerationRequest
    prompt: str
    negative_prompt: str | None
    sampler: str
    cfg_scale: float
    loras: tuple[Lora, ...] = ()
    degraded: tuple[str, ...] = ()

    def without_loras(self) -> Order:
        return replace(self, loras=(), degraded=(*self.degraded, "lora"))


def take_order(
    request: GenerationRequest, folder: DiffusionFolder, loras: LoraFolder, *, stand_in: bool
) -> Order:
    """What to do for `request` with the weights in `folder`.

    A checkpoint, sampler, scheduler or LoRA it lacks raises UnknownCheckpoint,
    UnknownSampler, UnknownScheduler or InvalidRequest; with `stand_in` the nearest there is
    takes its place, and the order says so.
    """
    _require_text(request)
    degraded = []
    if request.checkpoint is not None and not folder.checkpoint.answers_to(request.checkpoint):
        if not stand_in:
            raise UnknownCheckpoint(request.checkpoint, [folder.checkpoint.name])
        degraded.append("model")
    sampler = canonical(request.sampler_name or folder.default_sampler, folder.samplers)
    if sampler is None:
        asked = request.sampler_name or folder.default_sampler
        if not stand_in:
            raise UnknownSampler(asked, [sampler.name for sampler in folder.samplers])
        sampler = nearest(asked, folder.samplers)
        degraded.append("sampler")
    if request.scheduler and request.scheduler.casefold() != AUTOMATIC.casefold():
        if not stand_in:
            raise UnknownScheduler(request.scheduler, [AUTOMATIC])
        degraded.append("scheduler")
    degraded += _left_out(request.extras, stand_in=stand_in)
    order = _words(request, folder, sampler, degraded)
    try:
        return replace(order, loras=loras.choose(request.prompt + request.negative_prompt))
    except InvalidRequest:
        if not stand_in:
            raise
        return order.without_loras()


def _words(
    request: GenerationRequest, folder: DiffusionFolder, sampler: str, degraded: list[str]
) -> Order:
    """The prompts and their weight: the library refuses a negative prompt it has no use for."""
    guides = folder.takes_negative_prompt and request.cfg_scale > 1
    if request.negative_prompt and request.cfg_scale > 1 and not guides:
        degraded.append("negative_prompt")
    return Order(
        request=request,
        prompt=without_tags(request.prompt),
        negative_prompt=without_tags(request.negative_prompt) if guides else None,
        sampler=sampler,
        cfg_scale=max(1.0, request.cfg_scale)
        if folder.takes_negative_prompt
        else request.cfg_scale,
        degraded=tuple(degraded),
    )


def _left_out(extras: Extras | None, *, stand_in: bool) -> list[str]:
    """The extras that are done without."""
    if extras is None:
        return []
    if extras.skills and not stand_in:
        raise UnsupportedRequest("model", f"does no {', '.join(extras.wanted)}")
    fills_otherwise = extras.inpainting_fill != FILL_WITH_ORIGINAL
    return sorted({*extras.wanted, *(["inpainting_fill"] if fills_otherwise else [])})


def _require_text(request: GenerationRequest) -> None:
    for field in ("prompt", "negative_prompt"):
        try:
            getattr(request, field).encode()
        except UnicodeEncodeError as error:
            raise InvalidRequest(field, "must be text that Unicode can hold") from error
