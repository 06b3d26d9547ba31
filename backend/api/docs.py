"""/openapi.json, and /docs to read and try it: Swagger UI from our own address, so also offline."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import orjson
from flask import Blueprint, Response, send_from_directory, url_for

from backend.api.openapi import document
from backend.bounds import Bounds
from backend.services import Services
from backend.version import VERSION

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sluice API</title>
<link rel="icon" href="{icon}">
<link rel="stylesheet" href="{style}">
</head>
<body>
<div id="swagger-ui"></div>
<script src="{script}"></script>
<script>SwaggerUIBundle({{url: "{document}", dom_id: "#swagger-ui"}})</script>
</body>
</html>
"""


def blueprint(services: Services) -> Blueprint:
    """The document of `services`' own bounds and the page that shows it."""
    routes = Blueprint("docs", __name__)
    openapi = orjson.dumps(document(Bounds.of(services.settings), VERSION))

    @routes.get("/openapi.json")
    def openapi_json() -> Response:
        return Response(openapi, mimetype="application/json")

    @routes.get("/docs")
    def page() -> Response:
        assets = {
            "icon": "images/swagger.svg",
            "style": "css/swagger-ui.css",
            "script": "js/swagger-ui-bundle.js",
        }
        links = {name: url_for("docs.asset", path=path) for name, path in assets.items()}
        html = _PAGE.format(document=url_for("docs.openapi_json"), **links)
        return Response(html, mimetype="text/html")

    @routes.get("/docs/assets/<path:path>")
    def asset(path: str) -> Response:
        return send_from_directory(_swagger_folder(), path, max_age=86400)

    return routes


def _swagger_folder() -> Path:
    """Where the package keeps Swagger UI's files; found without importing its Flask plugin."""
    spec = find_spec("flask_openapi3_swagger")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "templates" / "swagger"
