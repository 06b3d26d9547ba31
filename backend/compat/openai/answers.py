"""Pictures as OpenAI's clients read them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import pybase64

from backend.api.translate import image_path
from backend.compat.openai.fields import OpenAIBody, PaintingBody
from backend.jobs.live import GenerationResult, MadeImage
from backend.json_answers import Base64
from backend.storage.renditions import MIN_QUALITY, Rendition, Renditions

QUALITIES = {"auto": "medium", "standard": "medium", "hd": "high"}
"""What is answered for a quality that only requests know."""
BACKGROUND = "opaque"
NO_TOKENS = {
    "input_tokens": 0,
    "output_tokens": 0,
    "total_tokens": 0,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
}
"""Nothing here is counted in tokens, but the SDK's types always have a usage."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Words the answers to one request: how its caller wants his pictures.

    `base_url` is what stands before the paths of images.
    """

    renditions: Renditions
    rendition: Rendition
    quality: str
    as_url: bool
    base_url: str

    def whole(self, result: GenerationResult) -> dict[str, Any]:
        """All pictures in one. Raises what `Renditions.convert` does."""
        answer = {
            "created": int(time.time()),
            "data": [self._picture(made) for made in result.images],
            "size": size_of(result.images[0]),
            **self.about(),
            "usage": NO_TOKENS,
            "model": result.outcome.generation.checkpoint,
        }
        degraded = result.outcome.generation.degraded
        return answer | ({"degraded": list(degraded)} if degraded else {})

    def about(self) -> dict[str, str]:
        """What every answer and every event says of its pictures."""
        return {
            "output_format": self.rendition.format or "png",
            "quality": self.quality,
            "background": BACKGROUND,
        }

    def base64(self, made: MadeImage) -> Base64:
        """In the format asked for; the engine's own bytes where that is theirs."""
        image = made.image
        data = self.renditions.convert(image.data, image.media_type, self.rendition)
        return Base64(image.base64 if data is image.data else pybase64.b64encode(data))

    def _picture(self, made: MadeImage) -> dict[str, Any]:
        if not self.as_url:
            return {"b64_json": self.base64(made), "seed": made.image.seed}
        assert made.image_id is not None
        path = image_path(made.image_id) + self._query(made.image.media_type)
        return {"url": self.base_url + path, "seed": made.image.seed}

    def _query(self, media_type: str) -> str:
        asked = self.rendition
        if asked.only_formats and f"image/{asked.format}" == media_type:
            return ""
        quality = "" if asked.quality is None else f"&quality={asked.quality}"
        return f"?format={asked.format}{quality}"


def answers_to(body: OpenAIBody, renditions: Renditions, base_url: str) -> Answers:
    """How to answer `body`. DALL-E answered with URLs unless told otherwise, so its names do."""
    default = "url" if (body.model or "").startswith("dall-e") else "b64_json"
    quality = body.quality if isinstance(body, PaintingBody) else "auto"
    return Answers(
        renditions=renditions,
        rendition=_rendition(body),
        quality=QUALITIES.get(quality, quality),
        as_url=(body.response_format or default) == "url",
        base_url=base_url,
    )


def size_of(made: MadeImage) -> str:
    return f"{made.image.width}x{made.image.height}"


def _rendition(body: OpenAIBody) -> Rendition:
    if not isinstance(body, PaintingBody) or body.output_format == "png":
        return Rendition("png")
    if body.output_compression is None:
        return Rendition(body.output_format)
    return Rendition(body.output_format, quality=max(body.output_compression, MIN_QUALITY))
