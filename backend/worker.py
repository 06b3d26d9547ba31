"""A worker's composition: `celery -A backend.worker worker` on each host that has engines.

It makes the jobs that web processes take in. It alone talks to its engines, so that each has
one request in flight.
"""

from __future__ import annotations

import logging
import socket
import threading
from typing import Any
from uuid import uuid4

from celery import signals
from pydantic import ValidationError

from ai.pool import EnginePool
from backend.accounts.admission import Admission
from backend.broker import MAKE, celery_app
from backend.engines import build_engines, pool_policy
from backend.jobs.bulletin import Bulletin
from backend.jobs.claims import Claims
from backend.jobs.database import open_database
from backend.jobs.foreman import Foreman
from backend.jobs.repeats import Repeats
from backend.jobs.results import ResultCache
from backend.jobs.worker_runner import WorkerRunner
from backend.memory import keep_buffers, spare_what_stays
from backend.metrics import Metrics, keep_figures_in_memory
from backend.metrics_server import CannotListen, MetricsServer
from backend.pool_metrics import PoolMetrics
from backend.services import (
    build_known_keys,
    build_ledger,
    build_quotas,
    build_redis,
    build_store,
    build_tracing,
    caller_rules,
    database_url,
)
from backend.settings import Settings, complaints
from backend.telemetry import configure_logging, logs_json

log = logging.getLogger(__name__)


def _read_settings() -> Settings:
    try:
        read = Settings()
    except ValidationError as error:
        raise SystemExit("\n".join(complaints(error))) from None
    if read.celery_broker_url is None:
        raise SystemExit("CELERY_BROKER_URL must be set for a worker")
    return read


settings = _read_settings()
app = celery_app(settings)
app.conf.worker_concurrency = settings.worker_threads


class Worker:
    """The services of this process, from the worker's start to its end."""

    def __init__(self, settings: Settings) -> None:
        assert settings.redis_url is not None
        self._grace_s = settings.grace_s
        keep_figures_in_memory()
        metrics = Metrics()
        self._shown = MetricsServer(metrics, settings.metrics_host, settings.metrics_port)
        self._database = open_database(database_url(settings), settings.data_dir)
        ledger = build_ledger(settings, self._database)
        self._store = build_store(settings, ledger)
        name = settings.worker_name or socket.gethostname()
        engines = build_engines(settings, prefix=f"{name}-")
        self._tracing = build_tracing(settings)
        events = PoolMetrics(metrics, self._tracing)
        pool = EnginePool(engines, pool_policy(settings), events=events)
        quotas = build_quotas(build_redis(settings, metrics))
        keys = build_known_keys(settings, self._database)
        self._admission = Admission(quotas, caller_rules(settings, keys, pool))
        results = ResultCache(pool, ledger, self._store, count=metrics.result_looked_up)
        repeats = Repeats(results if settings.result_cache else None)
        owner = uuid4()
        self.foreman = Foreman(
            owner,
            pool,
            WorkerRunner(
                pool, ledger, self._store, repeats, self._admission, tracing=self._tracing
            ),
            Claims(self._database, owner, settings.worker_lease_s),
            Bulletin(settings.redis_url.get_secret_value()),
            ahead=settings.worker_ahead,
            lease_s=settings.worker_lease_s,
        )
        self._draining = threading.Thread(target=self._drain, name="drain")

    def start(self) -> None:
        self._admission.start()
        self.foreman.start()

    def begin_to_stop(self) -> None:
        """Drain, while Celery waits for its tasks; they end as their jobs do."""
        self._draining.start()

    def close(self) -> None:
        if self._draining.ident is None:
            self._drain()
        self._draining.join()
        self._admission.close()
        self._store.close()
        self._tracing.close()
        self._database.dispose()
        self._shown.close()

    def _drain(self) -> None:
        self.foreman.drain(self._grace_s)


_worker: Worker | None = None


def make(job_id: str) -> None:
    """Make the job whose turn it is. The one that woke us may be another's by now."""
    log.debug("woken", extra={"job_id": job_id})
    if _worker is not None:
        _worker.foreman.make_next()


app.task(make, name=MAKE)


@signals.celeryd_init.connect  # type: ignore[untyped-decorator]
def _leave_out_celerys_banner(instance: Any, **_: Any) -> None:
    configure_logging(settings)  # before Celery's warnings
    instance.quiet = logs_json(settings)


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def _configure_logging(**_: Any) -> None:
    configure_logging(settings)
    for chatty in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


@signals.worker_init.connect  # type: ignore[untyped-decorator]
def _start(**_: Any) -> None:
    """Celery would only log an error of a signal's, and go on."""
    global _worker
    keep_buffers()
    spare_what_stays()
    try:
        _worker = Worker(settings)
        _worker.start()
    except CannotListen as error:
        raise SystemExit(f"worker not started: {error}") from None
    except Exception as error:
        log.exception("worker not started")
        raise SystemExit(1) from error


@signals.worker_ready.connect  # type: ignore[untyped-decorator]
def _ready(**_: Any) -> None:
    log.info("worker ready")


@signals.worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _begin_to_stop(**_: Any) -> None:
    if _worker is not None:
        _worker.begin_to_stop()


@signals.worker_shutdown.connect  # type: ignore[untyped-decorator]
def _stop(**_: Any) -> None:
    if _worker is not None:
        _worker.close()
