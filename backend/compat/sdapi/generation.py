"""POST txt2img and img2img."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from backend.api.bodies import bytes_for
from backend.api.repeated import wants_fresh
from backend.callers import caller_of, departure
from backend.compat.sdapi.bodies import read_body
from backend.compat.sdapi.choices import Choices
from backend.compat.sdapi.policy import require_allowed
from backend.compat.sdapi.render import generation_answer
from backend.compat.sdapi.schemas import WebUIBody, WebUIImg2Img, WebUITxt2Img, validated
from backend.compat.sdapi.translate import Translator
from backend.compat.sdapi.unsupported import told_at_its_field
from backend.jobs.records import Terms
from backend.services import Services
from backend.telemetry import note_made

MOST_PICTURES = 2
"""All in one body, ControlNet's included, may weigh as much as two of the largest allowed.

That is what a proxy in front is set to let through.
"""


def blueprint(services: Services, translator: Translator, chosen: Choices) -> Blueprint:
    """The generations; a caller's `chosen` checkpoint holds where a body names none."""
    routes = Blueprint("sdapi_generation", __name__)
    max_bytes = bytes_for(MOST_PICTURES, services.settings.max_image_bytes)

    def made(kind: type[WebUIBody]) -> Response:
        values: dict[str, Any] = read_body(request, max_bytes)
        require_allowed(values)
        body = validated(kind, values)
        caller = caller_of(request)
        asked = translator.request_of(body, chosen.of(caller))
        with told_at_its_field(asked):
            result = services.generator.generate(
                asked,
                caller=caller,
                terms=Terms(fresh=wants_fresh(request)),
                caller_left=departure(request.environ),
            )
        note_made(result)
        return generation_answer(asked, result, values, send=body.send_images)

    @routes.post("/txt2img")
    def txt2img() -> Response:
        return made(WebUITxt2Img)

    @routes.post("/img2img")
    def img2img() -> Response:
        return made(WebUIImg2Img)

    return routes
