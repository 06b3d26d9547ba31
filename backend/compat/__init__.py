"""Front doors for clients that speak another API: each its own schema and error shape."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Flask

from backend.api.problems import Render
from backend.compat import openai, openai_problems, sdapi
from backend.compat.sdapi import render as sdapi_render
from backend.services import Services

SHAPES: Mapping[str, Render] = {
    "/sdapi/": sdapi_render.render_problem,
    f"{openai.BASE_PATH}/": openai_problems.render,
}
"""How errors look below which path; everywhere else they are problem+json."""


def register(app: Flask, services: Services) -> None:
    """Put every route of these doors on `app`."""
    sdapi.register(app, services)
    for room in openai.blueprints(services):
        app.register_blueprint(room, url_prefix=openai.BASE_PATH)
