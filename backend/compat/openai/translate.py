"""From OpenAI's words to our own requests."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ai.errors import InvalidImage, InvalidRequest
from ai.generation import GenerationRequest
from ai.images import read_transparency
from backend.api.schemas import BodyModels, GenerationBody, Img2ImgBody, InpaintingBody, Txt2ImgBody
from backend.api.translate import request_of
from backend.bounds import Bounds
from backend.compat.openai.fields import (
    OWN_WORDS,
    EditsBody,
    OpenAIBody,
    PaintingBody,
    VariationsBody,
)
from backend.pictures import CallerPictures

OPENAI_MODEL = re.compile(r"(dall-e|gpt-image|chatgpt-image)(-|$)")
"""Names of OpenAI's own: here they mean the usual checkpoint, SD_MODEL or the loaded one."""
STEPS = {"low": 10, "medium": 20, "standard": 20, "high": 40, "hd": 40, "xhigh": 60, "max": 80}
"""Denoising steps of a quality; "auto" is our own default. Never more than MAX_STEPS."""
STRENGTHS = {"low": 0.75, "high": 0.5}
"""How much of a picture an edit without a mask makes new, by input_fidelity."""
VARIATION_STRENGTH = 0.6
NAMES = {"batch_size": "n", "width": "size", "height": "size"}
"""OpenAI's names of our fields, where they differ."""


@dataclass(frozen=True, slots=True)
class Translator:
    """Makes our requests of OpenAI's bodies, within the settings' bounds."""

    bounds: Bounds
    models: BodyModels
    pictures: CallerPictures

    def request_of(self, body: OpenAIBody) -> GenerationRequest:
        """What `body` asks for. Raises InvalidBody and InvalidRequest with our fields' names."""
        kind, pictures = self._pictures(body)
        values = _words(body) | self._quality(body) | pictures
        asked = self.models.validate(kind, values)
        return request_of(asked, self.bounds, self.pictures)

    def _pictures(self, body: OpenAIBody) -> tuple[type[GenerationBody], dict[str, Any]]:
        if isinstance(body, VariationsBody):
            return Img2ImgBody, {"image": body.image, "strength": VARIATION_STRENGTH}
        if not isinstance(body, EditsBody):
            return Txt2ImgBody, {}
        image = self.pictures.read(body.image, "image")
        mask = self._mask(body, image)
        if mask is not None:
            return InpaintingBody, {"image": image, "mask": mask}
        return Img2ImgBody, {"image": image, "strength": STRENGTHS[body.input_fidelity]}

    def _mask(self, body: EditsBody, image: bytes) -> bytes | None:
        """Our mask: of the mask sent, else of what is transparent in the image itself."""
        if body.mask is None:
            own = read_transparency(image, field="image", limits=self.pictures.limits)
            return own.data if own else None
        sent = self.pictures.read(body.mask, "mask")
        mask = read_transparency(sent, field="mask", limits=self.pictures.limits)
        if mask is None:
            raise InvalidImage("mask", "has nothing transparent, which is what is painted anew")
        return mask.data

    def _quality(self, body: OpenAIBody) -> dict[str, int]:
        if body.steps is not None or not isinstance(body, PaintingBody) or body.quality == "auto":
            return {}
        return {"steps": min(STEPS[body.quality], self.bounds.max_steps)}


def check_agreement(body: OpenAIBody) -> None:
    """Refuse fields that are good each but not together. Raises InvalidRequest."""
    if not isinstance(body, PaintingBody):
        return
    if body.output_format == "png" and body.output_compression not in (None, 100):
        raise InvalidRequest("output_compression", "is of jpeg and webp; png loses nothing")
    if body.stream and body.response_format == "url":
        raise InvalidRequest("response_format", "must be b64_json in a stream")


def _words(body: OpenAIBody) -> dict[str, Any]:
    values: dict[str, Any] = {"batch_size": body.n}
    values |= {name: getattr(body, name) for name in ("prompt", *OWN_WORDS)}
    if body.size != "auto":
        width, height = body.size.split("x")
        values |= {"width": int(width), "height": int(height)}
    if body.model and not OPENAI_MODEL.match(body.model):
        values["model"] = body.model
    return {name: value for name, value in values.items() if value is not None}
