"""What there is: the WebUI's lists, its options as far as they are a caller's own, and png-info."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Blueprint, Response, request

from ai.engines.base import ListName
from backend.accounts.rules import CallerRules
from backend.api.bodies import FORM_FIELDS_BYTES, bytes_for
from backend.callers import caller_of, key_of
from backend.compat.sdapi.bodies import read_body
from backend.compat.sdapi.choices import Choices
from backend.compat.sdapi.facts import Facts
from backend.compat.sdapi.picture_text import PARAMETERS, fields_of, texts_of
from backend.compat.sdapi.render import json_answer
from backend.compat.sdapi.schemas import Options, PngInfo, validated
from backend.errors import FieldError, InvalidBody
from backend.services import Services

_LISTS: tuple[ListName, ...] = (
    "face-restorers",
    "hypernetworks",
    "latent-upscale-modes",
    "loras",
    "realesrgan-models",
    "sd-modules",
    "sd-vae",
    "upscalers",
)


def blueprint(services: Services, facts: Facts, chosen: Choices) -> Blueprint:
    """All that is read, and the one option that is written."""
    routes = Blueprint("sdapi_reading", __name__)
    rules, settings = services.admission.rules, services.settings
    _add_lists(routes, facts, rules)
    _add_options(routes, facts, chosen, rules)
    max_bytes = bytes_for(1, settings.max_image_bytes)

    @routes.post("/png-info")
    def png_info() -> Response:
        body = validated(PngInfo, read_body(request, max_bytes))
        texts = texts_of(services.pictures.read(body.image, "image"), "image")
        infotext = texts.pop(PARAMETERS, "")
        parameters = fields_of(infotext) if infotext else {}
        return json_answer({"info": infotext, "items": texts, "parameters": parameters})

    return routes


def _add_lists(routes: Blueprint, facts: Facts, rules: CallerRules) -> None:
    told: dict[str, Callable[[], Any]] = {
        **{name: partial(facts.rows, name) for name in _LISTS},
        "sd-models": lambda: facts.sd_models(rules.checkpoints_for(key_of(request))),
        "samplers": facts.samplers,
        "schedulers": facts.schedulers,
        "embeddings": facts.embeddings,
        "memory": facts.memory,
        "scripts": lambda: dict.fromkeys(("txt2img", "img2img"), facts.scripts()),
        "script-info": lambda: [_script_info(name) for name in facts.scripts()],
        "prompt-styles": list,
        "cmd-flags": dict,
    }
    for name, tell in told.items():
        routes.add_url_rule(
            f"/{name}", name.replace("-", "_"), lambda tell=tell: json_answer(tell())
        )

    @routes.post("/refresh-checkpoints")
    def refresh_checkpoints() -> Response:
        """Each engine is asked every few seconds what it has."""
        return json_answer(None)


def _script_info(name: str) -> dict[str, Any]:
    return {"name": name, "is_alwayson": True, "is_img2img": False, "args": []}


def _add_options(routes: Blueprint, facts: Facts, chosen: Choices, rules: CallerRules) -> None:
    @routes.get("/options")
    def options() -> Response:
        asked = chosen.of(caller_of(request)) or rules.default_for(key_of(request))
        found = facts.checkpoint(asked) if asked else facts.in_memory()
        return json_answer(
            {
                "sd_model_checkpoint": found.title if found else asked,
                "sd_checkpoint_hash": (found.hash if found else None) or "",
                "sd_vae": "Automatic",
                "CLIP_stop_at_last_layers": 1,
                "samples_format": "png",
                "samples_save": False,
                "grid_save": False,
                "return_grid": False,
                "enable_pnginfo": True,
            }
        )

    @routes.post("/options")
    def set_options() -> Response:
        values = read_body(request, FORM_FIELDS_BYTES)
        asked = validated(Options, values).sd_model_checkpoint
        if asked is not None:
            found = facts.checkpoint(asked)
            rules.require_allowed(key_of(request), found.name if found else asked)
            if found is None:
                raise InvalidBody([FieldError("sd_model_checkpoint", f"no {asked!r} here")])
            chosen.choose(caller_of(request), found.name)
        return json_answer(None)
