"""A runner with all it needs, in the test's own process: real pool, WebUI, database, store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from sqlalchemy import Engine

from ai.engines.a1111.engine import A1111Engine
from ai.generation import Txt2Img
from ai.pool import EnginePool, PoolPolicy
from backend.accounts.admission import Admission
from backend.accounts.known_keys import KnownKeys
from backend.accounts.memory_quotas import MemoryQuotas
from backend.accounts.rules import CallerRules
from backend.jobs.database import open_database
from backend.jobs.ledger import JobLedger
from backend.jobs.live import LiveJob
from backend.jobs.records import Job, Terms
from backend.jobs.repeats import Repeats
from backend.jobs.runner import JobRunner
from backend.storage.local import LocalImageStore
from tests.running import wait_until

POLICY = PoolPolicy(max_queue=300, max_queue_per_caller=300, probe_interval_s=0.1)


@dataclass
class House:
    """`closed` by its context; what it kept stays in `folder` for the next."""

    database: Engine
    ledger: JobLedger
    store: LocalImageStore
    pool: EnginePool
    runner: JobRunner

    def ask(
        self, *, detached: bool = True, seed: int = 7, caller: str = "me", steps: int = 2
    ) -> LiveJob:
        request = Txt2Img(prompt="a red circle", width=64, height=64, steps=steps, seed=seed)
        return self.runner.accept(request, caller=caller, detached=detached, terms=Terms())

    def kept(self, live: LiveJob) -> Job:
        job = self.ledger.get(live.job.id)
        assert job is not None
        return job

    def await_status(self, live: LiveJob, status: str) -> Job:
        wait_until(lambda: self.kept(live).status == status, f"the job is {status}")
        return self.kept(live)


@contextmanager
def opened(
    folder: Path, url: str, policy: PoolPolicy = POLICY, admission: Admission | None = None
) -> Iterator[House]:
    """As the services start and stop it."""
    database = open_database(None, folder)
    ledger = JobLedger(database)
    store = LocalImageStore(folder, max_bytes=2**30, ttl_s=1e6)
    engine = A1111Engine(url, name="webui", tier="gpu", device="cuda")
    pool = EnginePool([engine], policy)
    runner = JobRunner(pool, ledger, store, Repeats(), admission or unlimited(pool))
    pool.start()
    runner.start()
    try:
        yield House(database, ledger, store, pool, runner)
    finally:
        runner.drain(0.0)
        store.close()
        database.dispose()


def unlimited(pool: EnginePool) -> Admission:
    """Admission as the settings have it when they say nothing of it."""
    keys = KnownKeys(lambda _: None, frozenset, None)
    budgets = {"hour": None, "day": None}
    return Admission(MemoryQuotas(), CallerRules(keys, pool.checkpoints, None, budgets))


def image_ids(job: Job) -> list[UUID]:
    assert job.result is not None
    return [UUID(image["id"]) for image in job.result["images"]]
