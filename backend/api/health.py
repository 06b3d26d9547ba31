"""GET /health, /health/live, /health/ready, and /metrics."""

from __future__ import annotations

from dataclasses import asdict

import orjson
from flask import Blueprint, Response, request

from backend.jobs.records import LedgerUnavailable
from backend.services import Services
from backend.storage.base import StorageError
from backend.version import VERSION


def blueprint(services: Services) -> Blueprint:
    """How `services` are doing, for people and for probes."""
    routes = Blueprint("health", __name__)

    @routes.get("/health")
    def health() -> Response:
        return _json(_report(services))

    @routes.get("/health/live")
    def live() -> Response:
        return _json({"status": "live"})

    @routes.get("/health/ready")
    def ready() -> Response:
        if services.pool.can_serve():
            return _json({"status": "ready"})
        return _json({"status": "not ready", "detail": "No engine can generate now."}, 503)

    return routes


def metrics_blueprint(services: Services) -> Blueprint:
    """/metrics in Prometheus' text format, or OpenMetrics."""
    routes = Blueprint("metrics", __name__)

    @routes.get("/metrics")
    def metrics() -> Response:
        text, media_type = services.metrics.exposition(request.headers.get("Accept", ""))
        return Response(text, content_type=media_type)

    return routes


def _report(services: Services) -> dict[str, object]:
    engines = services.pool.status()
    storage, redis, database = _storage(services), _redis(services), _database(services)
    up = [engine for engine in engines if engine.state == "up"]
    fine = all(part["status"] != "failing" for part in (storage, redis, database))
    whole = len(up) == len(engines) and fine
    serves = services.pool.can_serve()
    return {
        "status": ("ok" if whole else "degraded") if serves else "down",
        "version": VERSION,
        "engines": [asdict(engine) for engine in engines],
        "queue": {
            "waiting": services.pool.queue_length(),
            "max": services.settings.max_queue,
        },
        "redis": redis,
        "database": database,
        "storage": storage,
    }


def _redis(services: Services) -> dict[str, object]:
    if services.redis is None:
        return {"status": "not used", "detail": "Limits are kept in this process's memory."}
    if services.redis.answers():
        return {"status": "ok"}
    return {"status": "failing", "detail": "Limits are kept in memory until Redis answers."}


def _database(services: Services) -> dict[str, object]:
    try:
        services.ledger.ping()
    except LedgerUnavailable as error:
        return {"status": "failing", "detail": str(error)}
    return {"status": "ok"}


def _storage(services: Services) -> dict[str, object]:
    usage = services.store.usage()
    figures = {"images": usage.images, "bytes": usage.size_bytes}
    try:
        services.store.check()
    except StorageError as error:
        return {"status": "failing", "detail": str(error), **figures}
    return {"status": "ok", **figures}


def _json(body: dict[str, object], status: int = 200) -> Response:
    response = Response(orjson.dumps(body), status=status, mimetype="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response
