"""What callers send: one pydantic model for each kind of request, strict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar, cast

from annotated_types import MultipleOf
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
    create_model,
)

from ai.generation import KINDS, SIZE_STEP, Kind
from backend.bounds import Bounds
from backend.errors import FieldError, InvalidBody

FORBIDDEN_IN_PROMPT = ("\x00", "<sd_cpp_extra_args>")
"""A zero byte breaks the parameters kept in a PNG; the tag hands stable-diffusion.cpp options."""


def _encoded_image(value: object) -> str | bytes:
    if isinstance(value, str | bytes):
        return value
    raise ValueError("must be base64 text, a data URI or a URL; in multipart/form-data a file")


EncodedImage = Annotated[
    str | bytes,
    PlainValidator(_encoded_image),
    WithJsonSchema(
        {
            "type": "string",
            "contentEncoding": "base64",
            "description": "PNG, JPEG, WebP or GIF as a data URI or bare base64, or its https "
            "URL where ALLOW_URL_IMAGES is set; in multipart/form-data a file",
        }
    ),
]


def allowed_prompt(text: str) -> str:
    """`text`, unless an engine would read more than words in it: then ValueError."""
    for forbidden in FORBIDDEN_IN_PROMPT:
        if forbidden in text:
            raise ValueError(f"must not contain {forbidden!r}")
    return text


class GenerationBody(BaseModel):
    """What the three POSTs have in common."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)
    kind: ClassVar[Kind]

    prompt: str = Field(description="What the picture should show", examples=["a red circle"])
    negative_prompt: str = Field("", description="What it should not show")
    steps: int = Field(20, description="Denoising steps")
    cfg_scale: float = Field(7.5, description="How closely the prompt is followed")
    seed: int = Field(-1, description="The same seed makes the same picture; -1: a random one")
    model: Annotated[str, StringConstraints(min_length=1, max_length=500)] | None = Field(
        None, description="Checkpoint by name, title or hash; null: SD_MODEL, else the loaded one"
    )
    sampler_name: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = Field(
        None, description="One of GET samplers; null: the engine's own choice"
    )
    scheduler: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = Field(
        None, description="Noise schedule, one of GET samplers' schedulers; null: automatic"
    )
    batch_size: int = Field(1, description="Images to make, with seeds s, s+1, ...")
    webhook_url: Annotated[str, StringConstraints(min_length=1, max_length=2000)] | None = Field(
        None, description="Told when the job ends, by a signed POST (Standard Webhooks)"
    )
    response_format: Literal["b64_json", "url"] = Field(
        "b64_json", description="url: leave the base64 out of the answer"
    )


class Txt2ImgBody(GenerationBody):
    """Ask for a picture in words."""

    kind: ClassVar[Kind] = "txt2img"

    width: int = Field(512, description="Pixels")
    height: int = Field(512, description="Pixels")


class Img2ImgBody(GenerationBody):
    """Ask for a picture like another one."""

    kind: ClassVar[Kind] = "img2img"

    image: EncodedImage
    strength: float = Field(0.75, gt=0, le=1, allow_inf_nan=False, description="1: all new")
    width: int | None = Field(None, description="Pixels; null: the image's, rounded to 8")
    height: int | None = Field(None, description="Pixels; null: the image's, rounded to 8")


class InpaintingBody(Img2ImgBody):
    """Ask for part of a picture to be painted anew."""

    kind: ClassVar[Kind] = "inpainting"

    mask: EncodedImage = Field(description="As large as the image; white is repainted")
    strength: float = Field(0.9, gt=0, le=1, allow_inf_nan=False, description="1: all new")
    steps: int = Field(30, description="Denoising steps")
    mask_blur: int = Field(4, ge=0, le=64, description="Radius in pixels")
    inpaint_full_res: bool = Field(
        False, description="Paint only the masked region, at full size, and put it back"
    )


Body = TypeVar("Body", bound=GenerationBody)
BODIES: tuple[type[GenerationBody], ...] = (Txt2ImgBody, Img2ImgBody, InpaintingBody)


class BodyModels:
    """The three request models with the settings' bounds in them: the OpenAPI document's too."""

    def __init__(self, bounds: Bounds) -> None:
        self._models: dict[Kind, type[GenerationBody]] = {
            body.kind: _bounded(body, bounds) for body in BODIES
        }

    def __getitem__(self, body: type[Body]) -> type[Body]:
        return cast("type[Body]", self._models[body.kind])

    def all(self) -> tuple[type[GenerationBody], ...]:
        return tuple(self._models[kind] for kind in KINDS)

    def validate(self, body: type[Body], values: Mapping[str, object]) -> Body:
        """`values` as a `body`. Raises InvalidBody naming every field that is wrong."""
        try:
            return self[body].model_validate(values)
        except ValidationError as error:
            raise InvalidBody(field_errors(error)) from None


def _bounded(body: type[GenerationBody], bounds: Bounds) -> type[GenerationBody]:
    side = (Field(ge=bounds.min_size, le=bounds.max_size), MultipleOf(SIZE_STEP))
    prompt = (AfterValidator(allowed_prompt),)
    constraints: dict[str, tuple[Any, ...]] = {
        "prompt": (StringConstraints(min_length=1, max_length=bounds.max_prompt_chars), *prompt),
        "negative_prompt": (StringConstraints(max_length=bounds.max_prompt_chars), *prompt),
        "steps": (Field(ge=1, le=bounds.max_steps),),
        "cfg_scale": (
            Field(ge=bounds.min_cfg_scale, le=bounds.max_cfg_scale, allow_inf_nan=False),
        ),
        "width": side,
        "height": side,
        "seed": (Field(ge=bounds.min_seed, le=bounds.max_seed),),
        "batch_size": (Field(ge=1, le=bounds.max_batch_size),),
    }
    fields: dict[str, Any] = {}
    for name, extra in constraints.items():
        field = body.model_fields[name]
        bare: Any = _required_part(field.annotation)
        annotation: Any = Annotated[(bare, *extra)]
        fields[name] = (annotation if bare is field.annotation else annotation | None, field)
    return create_model(body.__name__, __base__=body, __doc__=body.__doc__, **fields)


def _required_part(annotation: Any) -> Any:
    return int if annotation == (int | None) else annotation


def field_errors(error: ValidationError) -> list[FieldError]:
    """What pydantic found, by field and in our words."""
    return [
        FieldError(
            str(item["loc"][0]) if item["loc"] else "body", _message(item["type"], item["msg"])
        )
        for item in error.errors(include_url=False, include_input=False)
    ]


def _message(kind: str, message: str) -> str:
    plain = {"extra_forbidden": "Unknown field", "missing": "Required"}
    return plain.get(kind, message.removeprefix("Value error, "))
