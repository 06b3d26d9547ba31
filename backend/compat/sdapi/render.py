"""Answers and errors as a WebUI gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from flask import Response, request

from ai.extras import Extras
from ai.generation import GenerationRequest, Img2Img
from backend.compat.sdapi.echo import DEFAULTS, IMG2IMG_DEFAULTS, TXT2IMG_DEFAULTS
from backend.compat.sdapi.picture_text import PARAMETERS, texts_of
from backend.errors import FieldError, Problem
from backend.jobs.live import GenerationResult
from backend.json_answers import Base64, json_pieces
from backend.telemetry import request_id
from backend.version import VERSION

JSON = "application/json"
WIRE_NAMES = {
    "image": "init_images",
    "model": "override_settings.sd_model_checkpoint",
    "strength": "denoising_strength",
}
"""Where txt2img's and img2img's word for a field is not the gateway's own."""
WHOLE_BODY = "body"
"""Where something is wrong that is of no one field."""
_NO_ROUTE = {404: "Not Found", 405: "Method Not Allowed"}
_NOT_JSON = "unreadable_json"
_ECHOED = (str, int, float, type(None))


def json_answer(body: object, status: int = 200) -> Response:
    """`body` as JSON; in an object Base64 may stand anywhere."""
    text = json_pieces(body) if isinstance(body, dict) else orjson.dumps(body)
    return Response(text, status=status, mimetype=JSON)


def render_problem(problem: Problem) -> Response:
    """FastAPI's `detail`: a list naming the fields, else a text; and the gateway's own members."""
    detail: object = [_field(error, problem) for error in problem.errors] or _text(problem)
    body = {
        "detail": detail,
        "error": problem.detail,
        "code": problem.code,
        "request_id": request_id(),
    }
    return json_answer(body, problem.status)


def generation_answer(
    asked: GenerationRequest, result: GenerationResult, values: Mapping[str, Any], *, send: bool
) -> Response:
    """What txt2img and img2img answer to a body that held `values`.

    `degraded` is there, and names what was left out, where an engine stood in.
    """
    answer: dict[str, Any] = {
        "images": [Base64(made.image.base64) for made in result.images] if send else [],
        "parameters": _echo(asked, values),
        "info": orjson.dumps(_info(asked, result)).decode(),
    }
    if left_out := result.outcome.generation.degraded:
        answer["degraded"] = list(left_out)
    return json_answer(answer)


def _text(problem: Problem) -> str:
    """The framework's own words where there is no such route, which clients look for."""
    return problem.detail if request.url_rule else _NO_ROUTE.get(problem.status, problem.detail)


def _field(error: FieldError, problem: Problem) -> dict[str, object]:
    names = WIRE_NAMES if request.path.endswith("2img") else {}
    path = names.get(error.field, error.field).split(".")
    named = [int(part) if part.isdigit() else part for part in path if part != WHOLE_BODY]
    told: dict[str, object] = {
        "type": "value_error",
        "loc": [WHOLE_BODY, *named],
        "msg": error.message,
    }
    if problem.code == _NOT_JSON:
        return told | {"type": "json_invalid", "input": {}, "ctx": {"error": problem.detail}}
    return told


def _echo(asked: GenerationRequest, values: Mapping[str, Any]) -> dict[str, Any]:
    """What was sent, but for pictures and what holds them, and the defaults of the rest."""
    own = IMG2IMG_DEFAULTS if isinstance(asked, Img2Img) else TXT2IMG_DEFAULTS
    echo = DEFAULTS | own
    said = {name: value for name, value in values.items() if name in echo and name != "mask"}
    return echo | {name: value for name, value in said.items() if isinstance(value, _ECHOED)}


def _info(asked: GenerationRequest, result: GenerationResult) -> dict[str, Any]:
    generation = result.outcome.generation
    used, extras = generation.parameters, asked.extras or Extras()
    count = len(result.images)
    seeds = [made.image.seed for made in result.images]
    subseeds = [extras.subseed + number if extras.subseed >= 0 else -1 for number in range(count)]
    return {
        "prompt": asked.prompt,
        "all_prompts": [asked.prompt] * count,
        "negative_prompt": asked.negative_prompt,
        "all_negative_prompts": [asked.negative_prompt] * count,
        "seed": seeds[0],
        "all_seeds": seeds,
        "subseed": subseeds[0],
        "all_subseeds": subseeds,
        "subseed_strength": extras.subseed_strength,
        "width": asked.width,
        "height": asked.height,
        "sampler_name": used.get("sampler_name"),
        "cfg_scale": used.get("cfg_scale"),
        "steps": used.get("steps"),
        "batch_size": asked.batch_size,
        "restore_faces": extras.restore_faces,
        "face_restoration_model": None,
        "sd_model_name": generation.checkpoint,
        "sd_model_hash": generation.checkpoint_hash,
        "sd_vae_name": extras.vae,
        "sd_vae_hash": None,
        "seed_resize_from_w": -1,
        "seed_resize_from_h": -1,
        "denoising_strength": _strength(asked),
        "extra_generation_params": {"Schedule type": used.get("scheduler")},
        "index_of_first_image": 0,
        "infotexts": _infotexts(result),
        "styles": [],
        "job_timestamp": f"{datetime.now(UTC):%Y%m%d%H%M%S}",
        "clip_skip": extras.clip_skip or 1,
        "is_using_inpainting_conditioning": False,
        "version": f"Sluice {VERSION}",
    }


def _strength(asked: GenerationRequest) -> float | None:
    if isinstance(asked, Img2Img):
        return asked.denoising_strength
    hires = asked.extras.hires if asked.extras else None
    return hires.denoising_strength if hires else None


def _infotexts(result: GenerationResult) -> Sequence[str]:
    """As the engine wrote them into the pictures."""
    data = (made.image.data for made in result.images)
    return [texts_of(picture, "image").get(PARAMETERS, "") if picture else "" for picture in data]
