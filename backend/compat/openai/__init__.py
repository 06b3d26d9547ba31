"""OpenAI's front door: /v1/images/* and /v1/models, as its SDK speaks them."""

from __future__ import annotations

from flask import Flask

from backend.compat.openai import routes
from backend.services import Services

PATH = "/v1"


def register(app: Flask, services: Services) -> None:
    """Put every route of this front door on `app`."""
    for room in routes.blueprints(services):
        app.register_blueprint(room, url_prefix=PATH)
