"""POST /txt2img, /img2img and /inpainting."""

from __future__ import annotations

import orjson
from flask import Blueprint, Response, g, request

from ai.generation import GenerationRequest
from ai.images import ImageLimits
from backend.api.bodies import body_limit, read_values
from backend.api.schemas import (
    BodyModels,
    GenerationBody,
    Img2ImgBody,
    InpaintingBody,
    Txt2ImgBody,
)
from backend.api.translate import answer_of, image_path, request_of
from backend.bounds import Bounds
from backend.callers import caller_of, departure
from backend.generate import GenerationResult, MadeImage
from backend.services import Services
from backend.telemetry import add_timing, elapsed_s

JSON = "application/json"


def blueprint(services: Services) -> Blueprint:
    """The three POSTs over `services`."""
    routes = Blueprint("generation", __name__)
    desk = _Desk(services)

    @routes.post("/txt2img")
    def txt2img() -> Response:
        return desk.serve(Txt2ImgBody)

    @routes.post("/img2img")
    def img2img() -> Response:
        return desk.serve(Img2ImgBody)

    @routes.post("/inpainting")
    def inpainting() -> Response:
        return desk.serve(InpaintingBody)

    return routes


class _Desk:
    """Takes a request in, has it made, hands out the answer."""

    def __init__(self, services: Services) -> None:
        settings = services.settings
        self._services = services
        self._bounds = Bounds.of(settings)
        self._models = BodyModels(self._bounds)
        self._limits = ImageLimits(
            max_bytes=settings.max_image_bytes, max_pixels=settings.max_input_pixels
        )

    def serve(self, kind: type[GenerationBody]) -> Response:
        body = self._models.validate(kind, self._read(kind))
        asked = request_of(body, self._bounds, self._limits, self._services.settings.sd_model)
        url_only = body.response_format == "url"
        result = self._services.generator.generate(
            asked,
            caller=caller_of(request),
            caller_left=departure(request.environ),
            url_only=url_only,
        )
        self._note(asked, result)
        if _wants_bytes(result.images[0].image.media_type):
            return _picture(result.images[0])
        answer = answer_of(result, url_only=url_only, processing_time=elapsed_s())
        return Response(orjson.dumps(answer), mimetype=JSON)

    def _read(self, kind: type[GenerationBody]) -> dict[str, object]:
        max_bytes = body_limit(kind, self._services.settings.max_image_bytes)
        return read_values(request, kind, max_bytes)

    def _note(self, asked: GenerationRequest, result: GenerationResult) -> None:
        outcome = result.outcome
        add_timing("queue", outcome.queue_s)
        add_timing("engine", outcome.engine_s)
        g.log_fields = {"engine": outcome.engine, "attempts": outcome.attempts}
        self._services.metrics.generated(
            asked.kind,
            outcome.engine,
            len(result.images),
            asked.megapixel_steps,
            outcome.queue_s,
            outcome.engine_s,
        )


def _wants_bytes(media_type: str) -> bool:
    """Whether the caller named the picture's own type in Accept and would rather have that."""
    return request.accept_mimetypes.best_match([JSON, media_type]) == media_type


def _picture(made: MadeImage) -> Response:
    response = Response(made.image.data, mimetype=made.image.media_type)
    response.headers["X-Seed"] = str(made.image.seed)
    if made.stored:
        response.headers["Content-Location"] = image_path(made.stored.id)
    return response
