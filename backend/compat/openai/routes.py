"""POST /images/generations, /edits and /variations, GET /models and /models/<id>."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from ai.errors import InvalidRequest
from ai.generation import GenerationRequest
from backend.api.bodies import body_limit, read_values
from backend.api.repeated import wants_fresh
from backend.api.schemas import BodyModels
from backend.bounds import Bounds
from backend.callers import caller_of, departure, key_of
from backend.compat.openai.answers import Answers, answers_to
from backend.compat.openai.fields import (
    EditsBody,
    GenerationsBody,
    OpenAIBody,
    PaintingBody,
    VariationsBody,
    validated,
)
from backend.compat.openai.stream import Stream
from backend.compat.openai.translate import Translator, check_agreement
from backend.errors import ModelNotFound, TooManyWatchers
from backend.jobs.records import Terms
from backend.json_answers import json_pieces
from backend.services import Services
from backend.telemetry import note_made

IMAGE_LIST = "image[]"
"""What the SDK calls `image` when it is given a list."""


def blueprints(services: Services) -> tuple[Blueprint, Blueprint]:
    """The routes that make pictures, and those that only tell of models."""
    return _generation(services), _reading(services)


def _generation(services: Services) -> Blueprint:
    routes = Blueprint("openai_generation", __name__)
    desk = _Desk(services)

    @routes.post("/images/generations")
    def generations() -> Response:
        return desk.serve(GenerationsBody)

    @routes.post("/images/edits")
    def edits() -> Response:
        return desk.serve(EditsBody)

    @routes.post("/images/variations")
    def variations() -> Response:
        return desk.serve(VariationsBody)

    return routes


def _reading(services: Services) -> Blueprint:
    routes = Blueprint("openai_reading", __name__)

    def names() -> dict[str, None]:
        """Of every checkpoint that the caller may use, once: weights may differ under one name."""
        allowed = services.admission.rules.checkpoints_for(key_of(request))
        return dict.fromkeys(checkpoint.name for checkpoint in allowed)

    @routes.get("/models")
    def models() -> Response:
        return _json({"object": "list", "data": [_model(name) for name in names()]})

    @routes.get("/models/<path:name>")
    def model(name: str) -> Response:
        if name not in names():
            raise ModelNotFound("No checkpoint of that name is here; ask for the list.")
        return _json(_model(name))

    return routes


class _Desk:
    """Takes a request in, has it made, hands out the answer or tells of it as it comes."""

    def __init__(self, services: Services) -> None:
        bounds = Bounds.of(services.settings)
        self._services = services
        self._translator = Translator(bounds, BodyModels(bounds), services.pictures)

    def serve(self, kind: type[OpenAIBody]) -> Response:
        body = validated(kind, self._read(kind))
        check_agreement(body)
        asked = self._translator.request_of(body)
        base_url = self._services.settings.public_url or request.host_url.rstrip("/")
        answers = answers_to(body, self._services.renditions, base_url)
        if isinstance(body, PaintingBody) and body.stream:
            return self._streamed(body, asked, answers)
        return self._whole(asked, answers)

    def _whole(self, asked: GenerationRequest, answers: Answers) -> Response:
        result = self._services.generator.generate(
            asked,
            caller=caller_of(request),
            terms=_terms(),
            caller_left=departure(request.environ),
            url_only=answers.as_url,
        )
        note_made(result)
        return _json(answers.whole(result))

    def _streamed(self, body: PaintingBody, asked: GenerationRequest, answers: Answers) -> Response:
        services = self._services
        live = services.generator.begin(asked, caller=caller_of(request), terms=_terms())
        stream = Stream(
            name=body.events,
            live=live,
            answers=answers,
            partial_images=body.partial_images,
            generator=services.generator,
        )
        try:
            told = services.watchers.counted(stream.events(departure(request.environ)))
        except TooManyWatchers:
            services.runner.cancel(live)
            raise
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        response = Response(told, mimetype="text/event-stream", headers=headers)
        response.call_on_close(stream.close)
        return response

    def _read(self, kind: type[OpenAIBody]) -> dict[str, Any]:
        max_bytes = body_limit(kind, self._services.settings.max_image_bytes)
        values = read_values(request, kind, max_bytes)
        sent = [*request.files.getlist("image"), *request.files.getlist(IMAGE_LIST)]
        if len(sent) > 1:
            raise InvalidRequest("image", f"must be one picture, not {len(sent)}")
        if IMAGE_LIST in values:
            values["image"] = values.pop(IMAGE_LIST)
        return values


def _terms() -> Terms:
    return Terms(fresh=wants_fresh(request))


def _model(name: str) -> dict[str, Any]:
    """When a checkpoint was made is not known: 0 stands for that."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "sluice"}


def _json(body: dict[str, Any]) -> Response:
    return Response(json_pieces(body), mimetype="application/json")
