"""GET /models and /samplers: what can be asked for, over all engines."""

from __future__ import annotations

import orjson
from flask import Blueprint, Response, request

from backend.api.answers import ModelAnswer, ModelsAnswer, SamplerAnswer, SamplersAnswer
from backend.callers import key_of
from backend.services import Services


def blueprint(services: Services) -> Blueprint:
    """What the engines of `services` have."""
    routes = Blueprint("models", __name__)
    rules = services.admission.rules

    @routes.get("/models")
    def models() -> Response:
        answer = ModelsAnswer(
            models=[
                ModelAnswer(
                    name=checkpoint.name,
                    title=checkpoint.title,
                    hash=checkpoint.hash,
                    engines=list(checkpoint.engines),
                    loaded_on=list(checkpoint.loaded_on),
                    devices=list(checkpoint.devices),
                )
                for checkpoint in rules.checkpoints_for(key_of(request))
            ],
            default=rules.default_for(key_of(request)),
        )
        return _json(answer.model_dump())

    @routes.get("/samplers")
    def samplers() -> Response:
        answer = SamplersAnswer(
            samplers=[
                SamplerAnswer(name=sampler.name, aliases=list(sampler.aliases))
                for sampler in services.pool.samplers()
            ],
            schedulers=list(services.pool.schedulers()),
        )
        return _json(answer.model_dump())

    return routes


def _json(body: dict[str, object]) -> Response:
    return Response(orjson.dumps(body), mimetype="application/json")
