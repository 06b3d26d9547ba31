"""gunicorn's settings: one process with threads, for the pool's queue lives in the process.

WEB_WORKERS of them where the queue is shared with Celery workers.
"""

from __future__ import annotations

import math
import os
import re
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from prometheus_client.multiprocess import mark_process_dead

from backend.banner import announce
from backend.listening import base_url, is_of_this_machine
from backend.memory import keep_buffers, spare_what_stays
from backend.services import Services
from backend.settings import Settings
from backend.telemetry import configure_logging, logs_json

settings = Settings()

wsgi_app = "backend:create_app()"
bind = f"{settings.host}:{settings.port}"
workers = settings.web_workers
worker_class = "backend.web_worker.WebWorker"
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


_FIGURES = re.compile(r"(counter|gauge_[a-z]+|histogram|summary)_\d+\.db")
"""What prometheus_client names the files of a process."""


def on_starting(server: Any) -> None:
    if "MALLOC_MMAP_THRESHOLD_" not in os.environ:  # the operator's own choice
        keep_buffers()
    spare_what_stays()
    configure_logging(settings)
    _refuse_strangers(server.cfg.address)
    if server.cfg.workers != 1 and settings.celery_broker_url is None:
        raise SystemExit(
            "Several web processes cannot keep one request in flight per WebUI: run one worker "
            "and raise THREADS."
        )
    _forget_processes_of_before()


def _refuse_strangers(addresses: Sequence[tuple[str, int] | str]) -> None:
    """gunicorn's own --bind is no way around AUTH."""
    hosts = [f"unix:{x}" if isinstance(x, str) else str(x[0]) for x in addresses]
    if settings.auth == "off" and not all(map(is_of_this_machine, hosts)):
        raise SystemExit(
            "AUTH: what gunicorn is to bind can be reached from elsewhere: set AUTH=keys, or "
            "AUTH=open to let everybody in"
        )


def _forget_processes_of_before() -> None:
    """Their figures would be added to ours for ever."""
    folder = settings.prometheus_multiproc_dir
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    figures = list(folder.glob("*.db"))
    for file in figures:
        if not _FIGURES.fullmatch(file.name):
            raise SystemExit(
                f"PROMETHEUS_MULTIPROC_DIR holds {file.name}, which is no process's figures: "
                "name a folder of its own"
            )
    for file in figures:
        file.unlink()


def post_worker_init(worker: Any) -> None:
    configure_logging(settings)
    services = worker.wsgi.extensions["sluice"]
    _drain_at_sigterm(worker, services)
    spare_what_stays()
    name = worker.sockets[0].getsockname()
    base = f"unix:{name}" if isinstance(name, str) else base_url(name[0], name[1])
    announce(base, services.pool.status(), as_json=logs_json(settings))


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
            worker.method_queue.defer(_let_silent_go, worker)

    threading.Thread(target=drain, name="drain", daemon=True).start()
    signal.signal(signal.SIGTERM, lambda number, _frame: told.put(number))
    signal.siginterrupt(signal.SIGTERM, False)


def _let_silent_go(worker: Any) -> None:
    """gunicorn itself would wait for a browser's spare connections until its own time is up."""
    for connection in worker.pending_conns:
        connection.timeout = 0.0


def worker_exit(server: Any, worker: Any) -> None:
    for late in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(late, signal.SIG_IGN)
    application = getattr(worker, "wsgi", None)
    if application is not None:
        application.extensions["sluice"].close()


def child_exit(server: Any, worker: Any) -> None:
    if settings.prometheus_multiproc_dir is not None:
        mark_process_dead(worker.pid, settings.prometheus_multiproc_dir)  # type: ignore[no-untyped-call]
