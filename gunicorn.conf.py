"""gunicorn's settings: one process with threads, for the pool's queue lives in the process.

WEB_WORKERS of them where the queue is shared with Celery workers.
"""

from __future__ import annotations

import math
import os
import signal
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from prometheus_client.multiprocess import mark_process_dead

from backend.banner import announce
from backend.memory import keep_buffers, spare_what_stays
from backend.services import Services
from backend.settings import Settings
from backend.telemetry import configure_logging, logs_json

settings = Settings()

wsgi_app = "backend:create_app()"
bind = f"{settings.host}:{settings.port}"
workers = settings.web_workers
worker_class = "gthread"
threads = settings.threads
worker_connections = settings.threads + 1000
"""Those served, and those kept open for their next request."""
timeout = 120
"""For the worker's main loop, which answers at once; a generation takes as long as it may."""
graceful_timeout = math.ceil(settings.grace_s) + 15
"""Running jobs have GRACE_S; then what is left must be put back and written down."""
keepalive = 75
limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 8190
forwarded_allow_ips = ""
"""TRUSTED_PROXIES alone decides whom to believe; gunicorn would believe 127.0.0.1 always."""
control_socket_disable = True
"""It could raise the number of workers."""
if Path("/dev/shm").is_dir():
    worker_tmp_dir = "/dev/shm"
    """A heartbeat that waits for a busy disk would look like a dead worker."""
accesslog = None
loglevel = "warning"


def on_starting(server: Any) -> None:
    if "MALLOC_MMAP_THRESHOLD_" not in os.environ:  # the operator's own choice
        keep_buffers()
    spare_what_stays()
    configure_logging(settings)
    _forget_processes_of_before()
    if server.cfg.workers != 1 and settings.celery_broker_url is None:
        raise SystemExit(
            "Several web processes cannot keep one request in flight per WebUI: run one worker "
            "and raise THREADS."
        )


def _forget_processes_of_before() -> None:
    """Their figures would be added to ours for ever."""
    folder = settings.prometheus_multiproc_dir
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for figures in folder.glob("*.db"):
            figures.unlink()


def post_worker_init(worker: Any) -> None:
    configure_logging(settings)
    services = worker.wsgi.extensions["sluice"]
    _drain_at_sigterm(worker, services)
    spare_what_stays()
    host, port = worker.sockets[0].getsockname()[:2]
    announce(host, port, services.pool.status(), as_json=logs_json(settings))


def _drain_at_sigterm(worker: Any, services: Services) -> None:
    """Drain first, still answering, and have gunicorn stop only then.

    gunicorn itself would wait for open connections alone, and knows nothing of jobs.
    """
    told: SimpleQueue[int] = SimpleQueue()

    def drain() -> None:
        number = told.get()
        try:
            services.drain()
        finally:
            worker.handle_exit(number, None)

    threading.Thread(target=drain, name="drain", daemon=True).start()
    signal.signal(signal.SIGTERM, lambda number, _frame: told.put(number))
    signal.siginterrupt(signal.SIGTERM, False)


def worker_exit(server: Any, worker: Any) -> None:
    for late in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(late, signal.SIG_IGN)
    application = getattr(worker, "wsgi", None)
    if application is not None:
        application.extensions["sluice"].close()


def child_exit(server: Any, worker: Any) -> None:
    if settings.prometheus_multiproc_dir is not None:
        mark_process_dead(worker.pid, settings.prometheus_multiproc_dir)  # type: ignore[no-untyped-call]
