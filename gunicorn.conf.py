"""gunicorn's settings: one process with threads, since the pool's queue lives in the process."""

from __future__ import annotations

from typing import Any

from backend.banner import banner
from backend.settings import Settings
from backend.telemetry import configure_logging

settings = Settings()

wsgi_app = "backend:create_app()"
bind = f"{settings.host}:{settings.port}"
workers = 1
worker_class = "gthread"
threads = settings.threads
timeout = 120
"""For the worker's main loop, which answers at once; a generation takes as long as it may."""
graceful_timeout = 30
keepalive = 75
limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 8190
accesslog = None
loglevel = "warning"


def on_starting(server: Any) -> None:
    configure_logging(settings)
    if server.cfg.workers != 1:
        raise SystemExit(
            "Several web processes cannot keep one request in flight per WebUI: run one worker "
            "and raise THREADS."
        )


def post_worker_init(worker: Any) -> None:
    configure_logging(settings)
    services = worker.wsgi.extensions["sluice"]
    host, port = worker.sockets[0].getsockname()[:2]
    print(banner(host, port, services.pool.status()), flush=True)  # noqa: T201


def worker_exit(server: Any, worker: Any) -> None:
    if worker.wsgi is not None:
        worker.wsgi.extensions["sluice"].close()
