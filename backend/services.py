"""The composition root: the only place that builds concrete objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from redis import Redis
from sqlalchemy import Engine as Database

from ai.images import ImageLimits
from ai.pool import EnginePool
from backend.accounts.admission import Admission
from backend.accounts.guarded_quotas import GuardedQuotas
from backend.accounts.known_keys import KnownKeys
from backend.accounts.memory_quotas import MemoryQuotas
from backend.accounts.quotas import Quotas
from backend.accounts.redis_quotas import RedisQuotas
from backend.accounts.register import KeyRegister
from backend.accounts.rules import CallerRules
from backend.addresses import AddressRules
from backend.api.events import Watchers
from backend.api.translate import BASE_PATH
from backend.engines import FALLBACKS, build_engines, pool_policy
from backend.generate import ImageGenerator
from backend.jobs.bulletin import Bulletin
from backend.jobs.celery_runner import CeleryRunner
from backend.jobs.database import open_database
from backend.jobs.deliveries import Deliveries
from backend.jobs.idempotency import IdempotencyKeys
from backend.jobs.ledger import JobLedger
from backend.jobs.line import Bounds as LineBounds
from backend.jobs.line import JobLine
from backend.jobs.remote_pool import RemotePool
from backend.jobs.repeats import Repeats
from backend.jobs.results import ResultCache
from backend.jobs.retention import Retention
from backend.jobs.runner import JobRunner
from backend.jobs.runners import Runner
from backend.jobs.signing import signing_key
from backend.jobs.webhooks import WebhookSender
from backend.metrics import Metrics
from backend.pictures import CallerPictures
from backend.pool_metrics import PoolMetrics
from backend.pool_view import PoolView
from backend.rate_limits import RateLimits
from backend.redis_watch import RedisNews, RedisWatch, redis_options
from backend.seats import Seats
from backend.settings import Settings
from backend.storage.base import ImageStore
from backend.storage.local import LocalImageStore
from backend.storage.renditions import Renditions
from backend.store_metrics import StoreMetrics
from backend.tracing import UNTRACED, OtlpTracing, Tracing
from backend.url_images import PictureFetcher


@dataclass(frozen=True, slots=True)
class Services:
    """Everything the front doors are handed."""

    settings: Settings
    database: Database
    known_keys: KnownKeys
    admission: Admission
    redis: RedisWatch | None
    pool: PoolView
    store: ImageStore
    renditions: Renditions
    ledger: JobLedger
    keys: IdempotencyKeys
    retention: Retention
    runner: Runner[Any]
    webhooks: WebhookSender
    deliveries: Deliveries
    generator: ImageGenerator[Any]
    seats: Seats
    watchers: Watchers
    rate_limits: RateLimits
    pictures: CallerPictures
    metrics: Metrics
    tracing: Tracing

    def start(self) -> None:
        """Take up what was left, and look after what goes on by itself."""
        self.admission.start()
        self.pool.start()
        self.ledger.start()
        self.runner.start()
        self.retention.start()
        self.webhooks.start()

    def drain(self) -> None:
        """Take no more jobs, let what runs end within GRACE_S, put the rest back."""
        self.runner.drain(self.settings.grace_s)

    def close(self) -> None:
        """Put back what still runs, give back what is held."""
        self.runner.drain(0.0)
        self.ledger.close()
        self.admission.close()
        if self.redis:
            self.redis.close()
        self.webhooks.close()
        self.retention.close()
        self.store.close()
        self.tracing.close()
        self.database.dispose()


def build_services(settings: Settings) -> Services:
    """The services that `settings` describe, started.

    As long as there are services: each is named once, and what has a choice in it is built below.
    """
    metrics = Metrics(is_shared=settings.prometheus_multiproc_dir is not None)
    tracing = build_tracing(settings)
    pool_metrics = PoolMetrics(metrics, tracing)
    database = open_database(database_url(settings), settings.data_dir)
    ledger, keys = build_ledger(settings, database), IdempotencyKeys(database)
    webhooks = _webhook_sender(settings, database, metrics)
    store = build_store(settings, ledger)
    metrics.add_collector(StoreMetrics(store, settings.data_dir))
    known_keys = build_known_keys(settings, database)
    redis = build_redis(settings, metrics)

    def admission_to(pool: PoolView) -> Admission:
        return Admission(build_quotas(redis), caller_rules(settings, known_keys, pool))

    build_makers = _makers_elsewhere if settings.celery_broker_url else _makers_here
    pool, admission, runner = build_makers(
        _Parts(
            settings,
            database,
            ledger,
            store,
            webhooks,
            metrics,
            tracing,
            pool_metrics,
            admission_to,
        )
    )
    pool_metrics.watch(pool, is_shared=settings.celery_broker_url is not None)
    seats = Seats(settings.threads)
    services = Services(
        settings=settings,
        database=database,
        known_keys=known_keys,
        admission=admission,
        redis=redis,
        pool=pool,
        store=store,
        renditions=Renditions(store),
        ledger=ledger,
        keys=keys,
        retention=Retention(ledger, keys, job_ttl_s=settings.job_ttl),
        runner=runner,
        webhooks=webhooks,
        deliveries=Deliveries(database),
        generator=ImageGenerator(runner, seats, settings.request_deadline_s, settings.log_prompts),
        seats=seats,
        watchers=Watchers(settings.threads // 2, seats),
        rate_limits=RateLimits(settings, redis),
        pictures=_caller_pictures(settings),
        metrics=metrics,
        tracing=tracing,
    )
    services.start()
    return services


@dataclass(frozen=True, slots=True)
class _Parts:
    """What those who make images are built of."""

    settings: Settings
    database: Database
    ledger: JobLedger
    store: ImageStore
    webhooks: WebhookSender
    metrics: Metrics
    tracing: Tracing
    pool_metrics: PoolMetrics
    admission_to: Callable[[PoolView], Admission]


def _makers_here(parts: _Parts) -> tuple[PoolView, Admission, Runner[Any]]:
    """This process's own pool, and a runner that has it make the jobs."""
    settings = parts.settings
    pool = EnginePool(build_engines(settings), pool_policy(settings), events=parts.pool_metrics)
    results = ResultCache(pool, parts.ledger, parts.store, count=parts.metrics.result_looked_up)
    repeats = Repeats(results if settings.result_cache else None)
    admission, told = parts.admission_to(pool), parts.webhooks.nudge
    runner = JobRunner(pool, parts.ledger, parts.store, repeats, admission, told, parts.tracing)
    return pool, admission, runner


def _makers_elsewhere(parts: _Parts) -> tuple[PoolView, Admission, Runner[Any]]:
    """The pools of all workers as one, and a runner that has workers make the jobs."""
    from backend.broker import waker  # Celery is big, and nobody else needs it

    settings = parts.settings
    assert settings.redis_url is not None
    bulletin = Bulletin(settings.redis_url.get_secret_value())
    bounds = LineBounds(settings.max_queue, settings.max_queue_per_caller)
    line = JobLine(parts.database, bounds)
    pool = RemotePool(bulletin, FALLBACKS[settings.cpu_fallback], line.waiting)
    admission = parts.admission_to(pool)
    runner = CeleryRunner(
        pool,
        admission,
        parts.ledger,
        line,
        parts.store,
        bulletin,
        wake=waker(settings),
        waited=parts.pool_metrics.waited,
        told_when_ended=parts.webhooks.nudge,
        queue_timeout_s=settings.queue_timeout_s,
    )
    return pool, admission, runner


def build_ledger(settings: Settings, database: Database) -> JobLedger:
    return JobLedger(database, (settings.public_url or "") + BASE_PATH)


def build_store(settings: Settings, ledger: JobLedger) -> ImageStore:
    return LocalImageStore(
        settings.data_dir,
        max_bytes=settings.image_cache_bytes,
        ttl_s=settings.image_ttl,
        protected=ledger.pictures_in_use,
        for_group=settings.accel_prefix is not None,
    )


def _webhook_sender(settings: Settings, database: Database, metrics: Metrics) -> WebhookSender:
    secret = settings.webhook_secret
    return WebhookSender(
        database,
        key=signing_key(secret.get_secret_value()) if secret else None,
        rules=AddressRules(settings.allow_http_webhooks, settings.allow_private_webhooks),
        count=metrics.webhook_tried,
    )


def build_redis(settings: Settings, news: RedisNews) -> RedisWatch | None:
    if settings.redis_url is None:
        return None
    url = settings.redis_url.get_secret_value()
    return RedisWatch(Redis.from_url(url, **redis_options()), news)


def build_quotas(redis: RedisWatch | None) -> Quotas:
    if redis is None:
        return MemoryQuotas()
    return GuardedQuotas(RedisQuotas(redis.client), MemoryQuotas(), redis)


def caller_rules(settings: Settings, keys: KnownKeys, pool: PoolView) -> CallerRules:
    return CallerRules(
        keys=keys,
        checkpoints=pool.checkpoints,
        max_jobs=settings.max_jobs_per_caller,
        budgets={"hour": settings.budget_hour, "day": settings.budget_day},
        default_checkpoint=settings.sd_model,
    )


def build_known_keys(settings: Settings, database: Database) -> KnownKeys:
    static = settings.api_key
    register = KeyRegister(database)
    text = static.get_secret_value() if static else None
    return KnownKeys(register.get, register.ids, text)


def build_tracing(settings: Settings) -> Tracing:
    endpoint = settings.otel_exporter_otlp_endpoint
    return OtlpTracing(endpoint) if endpoint else UNTRACED


def _caller_pictures(settings: Settings) -> CallerPictures:
    limits = ImageLimits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_input_pixels)
    allowed = settings.allow_url_images
    return CallerPictures(
        limits, PictureFetcher(AddressRules(), limits.max_bytes) if allowed else None
    )


def database_url(settings: Settings) -> str | None:
    """PostgreSQL's, with its password; None for SQLite."""
    return settings.database_url.get_secret_value() if settings.database_url else None
