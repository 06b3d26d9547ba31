"""Celery: how web processes wake workers.

A message says that one more job waits, the database says which is next. So a message may come
twice, late or never: a worker that wakes in vain sleeps on, and all look for themselves every
second.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from uuid import UUID

from celery import Celery
from kombu.exceptions import KombuError

from backend.settings import Settings

log = logging.getLogger(__name__)

MAKE = "sluice.make"
QUEUE = "sluice"
SEND_TIMEOUT_S = 0.5
WORKER_TIMEOUT_S = 10.0


def celery_app(settings: Settings, *, timeout_s: float = WORKER_TIMEOUT_S) -> Celery:
    """The application, over CELERY_BROKER_URL. A broker may keep a call up for `timeout_s`."""
    assert settings.celery_broker_url is not None
    url = settings.celery_broker_url.get_secret_value()
    app = Celery("sluice", broker=url)
    app.conf.update(
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_pool="threads",
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_connection_timeout=timeout_s,
        broker_transport_options=_transport_options(settings, url, timeout_s),
    )
    return app


def _transport_options(settings: Settings, url: str, timeout_s: float) -> dict[str, float]:
    longest_s = settings.queue_timeout_s + settings.request_deadline_s + settings.grace_s
    if url.startswith("sqs"):
        return {"visibility_timeout": longest_s}
    if not url.startswith(("redis", "rediss")):
        return {}
    return {
        "visibility_timeout": longest_s,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
    }


def waker(settings: Settings) -> Callable[[UUID], None]:
    """What tells the workers of a new job; says so in the log when it cannot."""
    app = celery_app(settings, timeout_s=SEND_TIMEOUT_S)

    def wake(job_id: UUID) -> None:
        try:
            app.send_task(MAKE, (str(job_id),), retry=False)
        except (KombuError, OSError) as error:
            log.warning("no worker woken", extra={"error": type(error).__name__})

    return wake
