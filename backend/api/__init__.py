"""Sluice's own front door: /api/v1/ai/generation/*, its document and its pages."""

from __future__ import annotations

from flask import Flask

from backend.api import account, docs, generation, health, images, jobs, models
from backend.api.translate import BASE_PATH
from backend.services import Services


def register(app: Flask, services: Services) -> None:
    """Put every route of this front door on `app`."""
    for room in (generation, images, jobs, models, account, health):
        app.register_blueprint(room.blueprint(services), url_prefix=BASE_PATH)
    app.register_blueprint(images.deletion_blueprint(services), url_prefix=BASE_PATH)
    app.register_blueprint(health.metrics_blueprint(services))
    app.register_blueprint(docs.blueprint(services))
