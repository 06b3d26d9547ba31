"""What web processes and workers tell each other through Redis. All of it may be lost.

The database is the truth: what is told here comes sooner, and what only passes (progress,
who is there) is nowhere else.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from uuid import UUID

import orjson
import pybase64
from redis import Redis, RedisError
from redis.client import PubSub

from backend.jobs.records import Snapshot
from backend.redis_watch import redis_options

log = logging.getLogger(__name__)

TIMEOUT_S = 0.5
"""A stalled Redis holds nobody up for longer."""
LISTEN_S = 0.2
AGAIN_AFTER_S = 1.0
CLOSE_TIMEOUT_S = 5.0
WATCHED_S = 3
"""Progress is told so long after somebody asked for it last."""
SNAPSHOT_KEPT_S = 5
ENDED = "sluice:jobs:ended"
WAITING = "sluice:jobs:waiting"
WORKERS = "sluice:workers"


class Bulletin:
    """No method raises when Redis fails: nothing is told then, and nothing heard."""

    def __init__(self, redis_url: str) -> None:
        self._redis = Redis.from_url(redis_url, **redis_options(TIMEOUT_S, TIMEOUT_S))
        self._closing = threading.Event()
        self._listener: threading.Thread | None = None

    def close(self) -> None:
        self._closing.set()
        if self._listener is not None:
            self._listener.join(CLOSE_TIMEOUT_S)
        self._redis.close()

    # Ends of jobs, and calls for workers.

    def tell_ended(self, job_id: UUID) -> None:
        """The end of that job is kept, or its worker was to be told that it is."""
        with _lossy("end not told"):
            self._redis.publish(ENDED, str(job_id))

    def call_workers(self) -> None:
        """Some job waits that we have no engine for."""
        with _lossy("workers not called"):
            self._redis.publish(WAITING, b"")

    def listen(
        self, heard: Callable[[UUID], None], called: Callable[[], None] | None = None
    ) -> None:
        """On a thread of its own, `heard` is told of each job that ends from now on.

        `called` is, when some job waits for a worker.
        """
        self._listener = threading.Thread(
            target=self._listen, args=(heard, called), name="bulletin", daemon=True
        )
        self._listener.start()

    def _listen(self, heard: Callable[[UUID], None], called: Callable[[], None] | None) -> None:
        while not self._closing.is_set():
            with _lossy("bulletin not heard"), PubSub(self._redis.connection_pool) as channel:
                channel.subscribe(ENDED, *((WAITING,) if called else ()))
                self._hear(channel, heard, called)
            self._closing.wait(AGAIN_AFTER_S)

    def _hear(
        self, channel: PubSub, heard: Callable[[UUID], None], called: Callable[[], None] | None
    ) -> None:
        while not self._closing.is_set():
            message = channel.get_message(ignore_subscribe_messages=True, timeout=LISTEN_S)
            if message is None:
                continue
            if message["channel"] == ENDED.encode():
                heard(UUID(bytes.decode(message["data"])))
            elif called is not None:
                called()

    # Progress.

    def look(self, job_id: UUID, *, preview: bool) -> Snapshot | None:
        """How a job at work was a moment ago; None when that is not told, or not yet."""
        with _lossy("progress not asked"), self._redis.pipeline(transaction=False) as pipe:
            pipe.set(_watched(job_id), 1, ex=WATCHED_S)
            if preview:
                pipe.set(_previewed(job_id), 1, ex=WATCHED_S)
            pipe.get(_progress(job_id))
            told = pipe.execute()[-1]
            return _read(told, preview) if told else None
        return None

    def watched(self, job_ids: Collection[UUID]) -> dict[UUID, bool]:
        """Those of `job_ids` that somebody watches, and whether with a preview."""
        if not job_ids:
            return {}
        with _lossy("watchers not asked"):
            watched = self._redis.mget([_watched(job_id) for job_id in job_ids])
            previewed = self._redis.mget([_previewed(job_id) for job_id in job_ids])
            wishes = zip(job_ids, watched, previewed, strict=True)
            return {job_id: bool(preview) for job_id, watch, preview in wishes if watch}
        return {}

    def show(self, job_id: UUID, snapshot: Snapshot) -> None:
        """Tell those who watch a job how it is."""
        with _lossy("progress not told"):
            self._redis.set(_progress(job_id), _written(snapshot), ex=SNAPSHOT_KEPT_S)

    # Workers.

    def sign_in(self, worker: UUID, report: bytes, kept_s: int) -> None:
        """A worker is there, with `report`, for `kept_s` seconds unless it says so again."""
        with _lossy("report not told"), self._redis.pipeline(transaction=False) as pipe:
            pipe.set(f"{WORKERS}:{worker}", report, ex=kept_s)
            pipe.sadd(WORKERS, str(worker))
            pipe.execute()

    def sign_out(self, worker: UUID) -> None:
        with _lossy("leave not told"), self._redis.pipeline(transaction=False) as pipe:
            pipe.srem(WORKERS, str(worker))
            pipe.delete(f"{WORKERS}:{worker}")
            pipe.execute()

    def workers(self) -> Mapping[str, bytes] | None:
        """The reports of the workers that are there, by worker; None when Redis fails."""
        with _lossy("reports not read"):
            names = sorted(bytes.decode(name) for name in self._redis.smembers(WORKERS))  # type: ignore[arg-type]
            reports = self._redis.mget([f"{WORKERS}:{name}" for name in names]) if names else []
            gone = [n for n, report in zip(names, reports, strict=True) if report is None]
            if gone:
                self._redis.srem(WORKERS, *gone)
            told = zip(names, reports, strict=True)
            return {name: report for name, report in told if isinstance(report, bytes)}
        return None

    # What their engines have, told apart from the reports: see `lists`.

    def tell_lists(self, digest: str, packed: bytes, kept_s: int) -> None:
        """Keep `packed` for `kept_s` seconds more; it is sent only where it is not there."""
        with _lossy("lists not told"):
            if not self._redis.expire(_lists(digest), kept_s):
                self._redis.set(_lists(digest), packed, ex=kept_s)

    def lists(self, digest: str) -> bytes | None:
        """What a worker told under that digest; None when it is not there, or Redis fails."""
        with _lossy("lists not read"):
            told = self._redis.get(_lists(digest))
            return told if isinstance(told, bytes) else None
        return None


@contextmanager
def _lossy(trouble: str) -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError, ValueError) as error:
        log.warning(trouble, extra={"error": type(error).__name__})


def _watched(job_id: UUID) -> str:
    return f"sluice:job:{job_id}:watched"


def _previewed(job_id: UUID) -> str:
    return f"sluice:job:{job_id}:previewed"


def _progress(job_id: UUID) -> str:
    return f"sluice:job:{job_id}:progress"


def _lists(digest: str) -> str:
    return f"sluice:lists:{digest}"


def _written(snapshot: Snapshot) -> bytes:
    preview = snapshot.preview and pybase64.b64encode(snapshot.preview).decode()
    return orjson.dumps(asdict(snapshot) | {"preview": preview})


def _read(told: bytes, preview: bool) -> Snapshot:
    words = orjson.loads(told)
    picture = words.pop("preview") if preview else None
    return Snapshot(**words | {"preview": picture and pybase64.b64decode(picture)})
