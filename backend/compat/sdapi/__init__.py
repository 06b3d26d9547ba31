"""The WebUI's own API at /sdapi/v1 and /controlnet, for the clients written for that."""

from __future__ import annotations

from flask import Flask

from backend.api.schemas import BodyModels
from backend.bounds import Bounds
from backend.compat.sdapi import controlnet, generation, progress, reading, tools
from backend.compat.sdapi.facts import Facts
from backend.compat.sdapi.shared_choices import choices_of
from backend.compat.sdapi.translate import Translator
from backend.services import Services

PATH = "/sdapi/v1"


def register(app: Flask, services: Services) -> None:
    """Put every route of this front door on `app`."""
    facts, chosen = Facts(services.pool), choices_of(services.redis)
    bounds = Bounds.of(services.settings)
    translator = Translator(bounds, BodyModels(bounds), services.pictures, facts)
    making = generation.blueprint(services, translator, chosen)
    tools.add_routes(making, services, facts)
    for routes in (
        making,
        progress.blueprint(services),
        reading.blueprint(services, facts, chosen),
    ):
        app.register_blueprint(routes, url_prefix=PATH)
    app.register_blueprint(controlnet.blueprint(facts), url_prefix=controlnet.PATH)
