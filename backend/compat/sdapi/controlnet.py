"""GET /controlnet/...: what units can name, as the extension lists it beside the WebUI's API."""

from __future__ import annotations

from flask import Blueprint, Response
from werkzeug.exceptions import NotFound

from backend.compat.sdapi.facts import Facts
from backend.compat.sdapi.render import json_answer

PATH = "/controlnet"


def blueprint(facts: Facts) -> Blueprint:
    """Lists alone: nothing is detected here, and nothing refreshed."""
    routes = Blueprint("sdapi_controlnet", __name__)

    @routes.get("/version")
    def version() -> Response:
        """404 where no engine has the extension, as a WebUI without it answers."""
        told = facts.controlnet_version()
        if told is None:
            raise NotFound("Not Found")
        return json_answer({"version": told})

    @routes.get("/model_list")
    def model_list() -> Response:
        return json_answer({"model_list": facts.controlnet("model_list")})

    @routes.get("/module_list")
    def module_list() -> Response:
        return json_answer({"module_list": facts.controlnet("module_list")})

    return routes
