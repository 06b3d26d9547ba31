"""Front doors for clients that speak another API: each its own schema and error shape."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Flask

from backend.api.problems import Render
from backend.compat import openai, sdapi
from backend.compat.openai import problems as openai_problems
from backend.compat.sdapi import controlnet
from backend.compat.sdapi import render as sdapi_render
from backend.services import Services

SHAPES: Mapping[str, Render] = {
    "/sdapi/": sdapi_render.render_problem,
    f"{controlnet.PATH}/": sdapi_render.render_problem,
    f"{openai.PATH}/": openai_problems.render,
}
"""How errors look below which path; everywhere else they are problem+json."""


def register(app: Flask, services: Services) -> None:
    """Put every route of these doors on `app`."""
    sdapi.register(app, services)
    openai.register(app, services)
