"""Two web processes, two workers with a WebUI each, one PostgreSQL, one Redis."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.backend.api.job_caller import BEHIND_A_PROXY, Caller
from tests.fake_webui import FakeWebUI
from tests.postgres import Postgres
from tests.running import (
    API,
    Sluice,
    free_port,
    running_redis,
    running_sluice,
    wait_until,
)
from tests.workers import CeleryWorker, celery_worker

LEASE_S = "2"
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


@dataclass(frozen=True)
class Town:
    """`workers[n]` has `webuis[n]`. `callers` are one person, at each web process in turn."""

    webs: tuple[Sluice, Sluice]
    workers: tuple[CeleryWorker, CeleryWorker]
    webuis: tuple[FakeWebUI, FakeWebUI]
    redis: subprocess.Popen[bytes]

    def callers(self) -> tuple[Caller, Caller]:
        first, second = map(Caller, self.webs)
        second.headers = first.headers
        return first, second

    def made(self, seed: int) -> int:
        """How often the WebUIs were asked for it."""
        bodies = (body for webui in self.webuis for body in webui.bodies("txt2img"))
        return sum(body["seed"] == seed for body in bodies)

    def await_engines(self, count: int) -> None:
        """Until every web process knows of so many that are up."""
        for web in self.webs:
            wait_until(lambda w=web: _engines_up(w) == count, f"{count} engines are up")  # type: ignore[misc]

    @contextmanager
    def held(self, *, at_step: int = 0) -> Iterator[None]:
        """Both WebUIs get no further than `at_step` with what they are asked."""
        for webui in self.webuis:
            webui.model.state.hold(at_step)
        try:
            yield
        finally:
            self.release()

    def release(self) -> None:
        """Let what is held go on."""
        for webui in self.webuis:
            webui.model.state.release()

    def busy(self) -> tuple[int, int]:
        """The one who works, and the other, while just one does."""
        wait_until(lambda: sum(w.in_flight for w in self.webuis) == 1, "one WebUI is at work")
        at_work = 0 if self.webuis[0].in_flight else 1
        return at_work, 1 - at_work

    @contextmanager
    def redis_stalled(self) -> Iterator[None]:
        os.kill(self.redis.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.redis.pid, signal.SIGCONT)


@contextmanager
def running_town(folder: Path, postgres: Postgres) -> Iterator[Town]:
    with ExitStack() as stack:
        redis_url, redis = stack.enter_context(running_redis(folder))
        webuis = (stack.enter_context(FakeWebUI()), stack.enter_context(FakeWebUI()))
        shared = {
            **BEHIND_A_PROXY,
            "DATABASE_URL": postgres.new_database(),
            "REDIS_URL": redis_url,
            "CELERY_BROKER_URL": redis_url.replace("/0", "/1"),
            "DATA_DIR": str(folder / "data"),
            "WORKER_LEASE_S": LEASE_S,
            "WEBHOOK_SECRET": SECRET,
            "ALLOW_HTTP_WEBHOOKS": "true",
            "ALLOW_PRIVATE_WEBHOOKS": "true",
            "RESULT_CACHE": "on",
            "MAX_QUEUE_PER_CALLER": "6",
        }
        workers = []
        for n, webui in enumerate(webuis, 1):
            own = {
                "SD_WEBUI_URL": webui.url,
                "METRICS_PORT": str(free_port()),
                "PROMETHEUS_MULTIPROC_DIR": str(folder / "not for workers"),
            }
            workers.append(stack.enter_context(celery_worker(folder, f"gpu{n}", {**shared, **own})))
        webs = []
        for name in ("left", "right"):
            (folder / name).mkdir()
            webs.append(stack.enter_context(running_sluice(folder / name, shared)))
        for worker in workers:
            worker.await_ready()
        town = Town((webs[0], webs[1]), (workers[0], workers[1]), webuis, redis)
        town.await_engines(2)
        yield town


def _engines_up(web: Sluice) -> int:
    health = web.get(f"{API}/health").json()
    return sum(engine["state"] == "up" for engine in health["engines"])
