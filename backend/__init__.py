"""Sluice, the service: a Flask application in front of the pool of engines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from backend import api, compat, quota_headers, telemetry
from backend.api import problems
from backend.api.bodies import FORM_FIELDS_BYTES, BoundedRequest
from backend.identity import Gate
from backend.rate_limits import windows_in
from backend.services import Services, build_services
from backend.settings import Settings
from backend.web import page


class _Service(Flask):
    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Nothing here is a coroutine; finding that out takes four calls for each hook."""
        return func


def create_app(settings: Settings | None = None, services: Services | None = None) -> Flask:
    """The application. Bare it reads the environment and starts real services; tests hand in both.

    The services are the caller's to close; they stand in `app.extensions["sluice"]`.
    Raises pydantic.ValidationError for settings that make no sense.
    """
    settings = settings or (services.settings if services else Settings())
    services = services or build_services(settings)
    app = _Service("backend", static_folder=None)
    app.request_class = BoundedRequest
    app.config["MAX_CONTENT_LENGTH"] = FORM_FIELDS_BYTES
    app.extensions["sluice"] = services
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops)  # type: ignore[method-assign]
    telemetry.init_app(app, services.metrics, services.tracing)
    quota_headers.init_app(app, services.admission)
    Gate(settings, services.known_keys, windows_in(services.redis)).init_app(app)
    services.rate_limits.init_app(app)
    problems.init_app(app, services.rate_limits, services.metrics, compat.SHAPES)
    api.register(app, services)
    compat.register(app, services)
    app.register_blueprint(page.blueprint())
    return app
