"""OpenAI's words for images: what may be sent, before our own bounds are laid on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from backend.api.schemas import EncodedImage, field_errors
from backend.errors import InvalidBody

MAX_PARTIAL_IMAGES = 3
SIZE = r"^(auto|[1-9][0-9]{0,4}x[1-9][0-9]{0,4})$"
VARIATION_PROMPT = "high quality, detailed"
"""OpenAI's variations have no words, but ours are made from some; these change little."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Quality = Literal["auto", "low", "medium", "high", "xhigh", "max", "standard", "hd"]


class OpenAIBody(BaseModel):
    """What the three POSTs have in common; null is taken as left out.

    The second half are our own words, for clients that can send more than OpenAI knows.
    """

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    model: Name | None = None
    n: int = 1
    size: Annotated[str, StringConstraints(pattern=SIZE)] = "auto"
    response_format: Literal["url", "b64_json"] | None = None
    user: str = ""

    negative_prompt: str | None = None
    steps: int | None = None
    cfg_scale: float | None = None
    seed: int | None = None
    sampler_name: str | None = None
    scheduler: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, values: Mapping[str, object]) -> dict[str, object]:
        return {name: value for name, value in values.items() if value is not None}


OWN_WORDS = ("negative_prompt", "steps", "cfg_scale", "seed", "sampler_name", "scheduler")
"""Fields that are passed on under their own name, if they are sent."""


class PaintingBody(OpenAIBody):
    """What a request in words may say beside: how good, in which format, shown meanwhile.

    `events` begins the names of its stream's events.
    """

    events: ClassVar[str]

    prompt: str
    quality: Quality = "auto"
    background: Literal["auto", "opaque"] = "auto"
    moderation: Literal["auto", "low"] = "auto"
    complexity: Literal["low", "medium", "high"] = "medium"
    safety_identifier: str = ""
    output_format: Literal["png", "jpeg", "webp"] = "png"
    output_compression: int | None = Field(None, ge=0, le=100)
    stream: bool = False
    partial_images: int = Field(0, ge=0, le=MAX_PARTIAL_IMAGES)


class GenerationsBody(PaintingBody):
    """POST /images/generations."""

    events = "image_generation"

    style: Literal["vivid", "natural"] = "vivid"


class EditsBody(PaintingBody):
    """POST /images/edits."""

    events = "image_edit"

    image: EncodedImage
    mask: EncodedImage | None = None
    input_fidelity: Literal["low", "high"] = "low"


class VariationsBody(OpenAIBody):
    """POST /images/variations, a route that only DALL-E 2 had."""

    model: Name | None = "dall-e-2"
    prompt: str = VARIATION_PROMPT
    image: EncodedImage


Body = TypeVar("Body", bound=OpenAIBody)


def validated(kind: type[Body], values: Mapping[str, object]) -> Body:
    """`values` as a `kind`. Raises InvalidBody naming every field that is wrong."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise InvalidBody(field_errors(error)) from None
