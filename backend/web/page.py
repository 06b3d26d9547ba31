"""GET /: the page for a browser; name, version and links for other clients."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from pathlib import Path
from string import Template

import orjson
from flask import Blueprint, Response, request, url_for

from ai.demo_model import CHECKPOINT_NAME
from backend.api.translate import BASE_PATH
from backend.version import VERSION

PARTS = Path(__file__).parent / "parts"
SCRIPTS = (
    *("dom", "key", "api", "events", "fields", "picture", "brush"),
    *("asking", "shelf", "stage", "job", "main"),
)
"""One script's parts, in this order; they share one scope."""


def blueprint() -> Blueprint:
    """What / answers, put together once."""
    routes = Blueprint("web", __name__)
    html, policy = assembled()
    tag = hashlib.sha256(html).hexdigest()[:32]

    @routes.get("/")
    def index() -> Response:
        kinds = ["application/json", "text/html"]
        if request.accept_mimetypes.best_match(kinds) == "text/html":
            response = Response(html, mimetype="text/html")
            response.set_etag(tag)
            response.headers["Cache-Control"] = "no-cache"
            response.headers["Content-Security-Policy"] = policy
            response.headers["Referrer-Policy"] = "no-referrer"
            response.headers["X-Content-Type-Options"] = "nosniff"
            response.make_conditional(request)
        else:
            response = Response(orjson.dumps(_about()), mimetype="application/json")
        response.headers["Vary"] = "Accept"
        return response

    return routes


def assembled() -> tuple[bytes, str]:
    """The page with its style and script inside, and the policy that lets run just these."""
    style = _read("page.css")
    script = "\n".join(_read(f"{name}.js") for name in SCRIPTS)
    html = Template(_read("page.html")).substitute(
        style=style, script=script, api=BASE_PATH, demo_model=CHECKPOINT_NAME, version=VERSION
    )
    policy = {
        "default-src": "'none'",
        "script-src": _hash(script),
        "style-src": _hash(style),
        "img-src": "'self' data: blob:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return html.encode(), "; ".join(f"{name} {value}" for name, value in policy.items())


def _read(name: str) -> str:
    return (PARTS / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """A source expression of Content Security Policy Level 3 for an inline element's `text`."""
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _about() -> dict[str, object]:
    return {
        "name": "Sluice",
        "version": VERSION,
        "links": {
            "docs": url_for("docs.page"),
            "openapi": url_for("docs.openapi_json"),
            "health": url_for("health.health"),
            "models": url_for("models.models"),
        },
    }
