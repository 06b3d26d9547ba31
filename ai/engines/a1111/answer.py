"""Reading a WebUI's 200: the pictures, and whether they are what was asked.

A WebUI answers 200 with something else than asked when it lacks the sampler or the
checkpoint, so that only `info` and the pictures themselves are believed. stable-diffusion.cpp
leaves `info` empty; then the parameters name what could not be checked under `unverified`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import orjson
import pybase64

from ai.engines.a1111.body import read_object
from ai.engines.a1111.choice import Choice
from ai.engines.a1111.facts import Known, is_name
from ai.engines.base import Checkpoint
from ai.errors import EngineMadeNan, WrongCheckpoint, WrongResult
from ai.generation import GeneratedImage, Generation, GenerationRequest, Img2Img, Inpainting
from ai.images import inspect_image
from ai.samplers import canonical

_TELLING = {
    "sampler_name": ("sampler_name",),
    "checkpoint": ("sd_model_name", "sd_model_hash"),
}
"""The keys of `info` by which each is checked."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was asked of `engine`, to read its answer by."""

    engine: str
    request: GenerationRequest
    choice: Choice
    known: Known

    def generation(self, body: bytes) -> Generation:
        """Raises WrongResult, WrongCheckpoint or EngineMadeNan."""
        answer = read_object(body)
        if answer is None:
            self._wrong("sent an answer that cannot be read")
        info = self._info(answer.get("info"))
        seeds = self._seeds(info)
        encoded = self._pictures(answer.get("images"), info, len(seeds))
        checkpoint, digest = self._checkpoint(info)
        self._require_sampler(info)
        images = tuple(map(self._image, encoded, seeds))
        parameters = self._parameters(info, seeds[0])
        return Generation(images, checkpoint, digest, parameters, self.choice.degraded)

    def _info(self, info: object) -> dict[str, Any]:
        """The JSON in `info`; empty when the string is."""
        if info == "":
            return {}
        if not isinstance(info, str):
            self._wrong("did not say how it made the picture")
        try:
            details = orjson.loads(info)
        except orjson.JSONDecodeError:
            if _holds_bare_nan(info):
                message = f"{self.engine} made no picture: its numbers overflowed"
                raise EngineMadeNan(self.engine, message) from None
            details = None
        if not isinstance(details, dict):
            self._wrong("sent details that cannot be read")
        return details

    def _seeds(self, info: dict[str, Any]) -> list[int]:
        asked = self.request.image_count
        if not info:
            return [self.request.seed + number for number in range(asked)]
        seeds = info.get("all_seeds")
        if not isinstance(seeds, list) or not all(_is_count(seed) for seed in seeds):
            self._wrong("did not say which seeds it used")
        if len(seeds) != asked:
            self._wrong(f"used {len(seeds)} seeds for {asked} pictures")
        return seeds

    def _pictures(self, images: object, info: dict[str, Any], count: int) -> Sequence[object]:
        """Without the grid that may come first and the detection maps that may come last."""
        first = info.get("index_of_first_image", 0)
        if not isinstance(images, list) or not _is_count(first):
            self._wrong("answered without pictures")
        wanted = images[first:][:count]
        if len(wanted) != count:
            self._wrong(f"sent {len(wanted)} of {count} pictures")
        return wanted

    def _image(self, encoded: object, seed: int) -> GeneratedImage:
        if not isinstance(encoded, str | bytes):
            self._wrong("sent a picture that cannot be read")
        try:
            sent = encoded.encode("ascii") if isinstance(encoded, str) else encoded
            bare = sent.partition(b",")[2] if sent.startswith(b"data:") else sent
            data = pybase64.b64decode(bare, validate=True)
            found = inspect_image(data)
        except ValueError:
            self._wrong("sent a broken picture")
        size = found.width, found.height
        if size not in self._sizes():
            width, height = self._sizes()[0]
            self._wrong(f"made {size[0]}x{size[1]} pixels of the {width}x{height} asked for")
        return GeneratedImage(data, found.media_type, *size, seed=seed, encoded=bare)

    def _sizes(self) -> list[tuple[int, int]]:
        """What was asked; or the original's, into which a region painted alone is put back."""
        request = self.request
        sizes = [request.result_size]
        if isinstance(request, Inpainting) and request.inpaint_full_res:
            sizes.append((request.image.width, request.image.height))
        return sizes

    def _checkpoint(self, info: dict[str, Any]) -> tuple[str | None, str | None]:
        """Name and hash of what was used. Raises WrongCheckpoint when another was asked."""
        asked = self.choice.checkpoint
        name, digest = (_name(info, key) for key in ("sd_model_name", "sd_model_hash"))
        if name is None and digest is None:
            only = asked or self._only_checkpoint()
            return (only.name, only.hash) if only else (None, None)
        used = next((known for known in self._all() if _is_it(known, name, digest)), None)
        if asked is not None and not _is_it(asked, name, digest):
            other = f"{used.name!r}" if used else "another"
            message = f"{self.engine} used checkpoint {other} for {asked.name!r}"
            raise WrongCheckpoint(self.engine, message)
        named = asked or used
        return (named.name if named else name), digest or (named.hash if named else None)

    def _all(self) -> tuple[Checkpoint, ...]:
        return self.known.facts.checkpoints

    def _only_checkpoint(self) -> Checkpoint | None:
        return self._all()[0] if len(self._all()) == 1 else None

    def _require_sampler(self, info: dict[str, Any]) -> None:
        used = _name(info, "sampler_name")
        if used is None:
            return
        if canonical(used, self.known.facts.samplers) != self.choice.sampler:
            self._wrong(f"used another sampler than {self.choice.sampler!r}")

    def _parameters(self, info: dict[str, Any], seed: int) -> dict[str, object]:
        request = self.request
        parameters: dict[str, object] = {
            "prompt": request.prompt,
            "negative_prompt": request.negative_prompt,
            "steps": _number(info, "steps", request.steps),
            "cfg_scale": _number(info, "cfg_scale", request.cfg_scale),
            "width": request.result_size[0],
            "height": request.result_size[1],
            "seed": seed,
            "sampler_name": self.choice.sampler,
            "scheduler": self._scheduler(info),
            "batch_size": request.batch_size,
        }
        if isinstance(request, Img2Img):
            strength = _number(info, "denoising_strength", request.denoising_strength)
            parameters["denoising_strength"] = strength
        if isinstance(request, Inpainting):
            parameters["mask_blur"] = request.mask_blur
            parameters["inpaint_full_res"] = request.inpaint_full_res
        if unverified := [name for name, keys in _TELLING.items() if info.keys().isdisjoint(keys)]:
            parameters["unverified"] = unverified
        return parameters

    def _scheduler(self, info: dict[str, Any]) -> str:
        extra = info.get("extra_generation_params")
        used = _name(extra, "Schedule type") if isinstance(extra, dict) else None
        return used or self.choice.scheduler

    def _wrong(self, what: str) -> NoReturn:
        raise WrongResult(self.engine, f"{self.engine} {what}")


def _is_it(checkpoint: Checkpoint, name: str | None, digest: str | None) -> bool:
    """By hash where both have one, else by name: with or without folder and ending."""
    if digest is not None and checkpoint.hash is not None:
        return digest == checkpoint.hash
    if name is None:
        return False
    file = checkpoint.title.partition(" [")[0].replace("\\", "/").rpartition("/")[2]
    names = {checkpoint.name, file, file.rpartition(".")[0]}
    return not names.isdisjoint({name, name.rpartition(".")[0]} - {""})


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _name(values: dict[str, Any], key: str) -> str | None:
    value = values.get(key)
    return value if is_name(value) else None


def _number(info: dict[str, Any], key: str, asked: float) -> float:
    value = info.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return asked
    return value


def _holds_bare_nan(info: str) -> bool:
    """Whether it is what Python writes for JSON when numbers overflowed."""
    found: list[str] = []
    try:
        json.loads(info, parse_constant=found.append)
    except (ValueError, RecursionError):
        return False
    return bool(found)
