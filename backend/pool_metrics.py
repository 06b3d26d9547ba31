"""The pool's figures at /metrics: states asked at each scrape, events counted as they come."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ai.correlation import Correlation
from ai.errors import EngineError, GenerationError, QueueFull
from ai.generation import Work
from ai.pool import EngineStatus, Outcome
from backend.metrics import Metrics
from backend.pool_view import PoolView
from backend.tracing import Tracing

STATES = ("up", "cooling", "down", "unknown")
TIERS = ("gpu", "cpu")


class PoolMetrics(Collector):
    """Listens to a pool (`PoolEvents`) and reports on it once told which to `watch`.

    What was served stands in the traces too.
    """

    def __init__(self, metrics: Metrics, tracing: Tracing) -> None:
        self._pool: PoolView | None = None
        self._view = ""
        self._metrics = metrics
        self._tracing = tracing
        self._switches = metrics.counter(
            "sluice_checkpoint_switches", "Checkpoints loaded", "engine"
        )
        self._retries = metrics.counter(
            "sluice_retries", "Requests tried on another engine", "error"
        )
        self._fallbacks = metrics.counter(
            "sluice_fallbacks", "Requests a stand-in served", "engine"
        )
        self._failures = metrics.counter(
            "sluice_engine_failures", "Requests an engine failed", "engine", "error"
        )
        self._generations = metrics.counter(
            "sluice_generations", "Requests the pool is done with: served, or the error", "outcome"
        )
        self._images = metrics.counter("sluice_images", "Images made", "kind", "engine")
        self._work = metrics.counter(
            "sluice_megapixel_steps", "Millions of pixels x steps x images made", "engine"
        )
        self._waits = metrics.histogram(
            "sluice_queue_seconds", "Time a request waited for an engine, one that was given up too"
        )
        self._engine_times = metrics.histogram(
            "sluice_engine_seconds", "Time an engine took for a request", "engine"
        )

    def watch(self, pool: PoolView, *, is_shared: bool) -> None:
        """Report `pool`'s state at each scrape.

        `is_shared` says that other processes report the same one, so that theirs and ours are
        not to be added up: the label `view` is then "shared", else "own".
        """
        self._pool, self._view = pool, "shared" if is_shared else "own"
        self._metrics.add_collector(self)

    def engine_state_changed(self, engine: str, old: str, new: str, reason: str) -> None:
        """Nothing to count: the state itself is asked at each scrape."""

    def switched(self, engine: str, checkpoint: str) -> None:
        self._switches.labels(engine).inc()

    def retried(self, engine: str, error: EngineError) -> None:
        self._retries.labels(type(error).__name__).inc()

    def fell_back(self, engine: str) -> None:
        self._fallbacks.labels(engine).inc()

    def failed(self, engine: str, error: EngineError) -> None:
        self._failures.labels(engine, type(error).__name__).inc()

    def ended(
        self,
        request: Work,
        result: Outcome | GenerationError,
        queue_s: float,
        correlation: Correlation,
    ) -> None:
        if not isinstance(result, QueueFull):
            self.waited(queue_s, correlation)
        if isinstance(result, GenerationError):
            self._generations.labels(type(result).__name__).inc()
            return
        self._generations.labels("served").inc()
        self._served(request, result, correlation)
        self._tracing.served(request, result, correlation)

    def waited(self, queue_s: float, correlation: Correlation) -> None:
        """A request waited so long, whether it was served then or not."""
        self._waits.observe(queue_s, correlation.exemplar)

    def _served(self, request: Work, outcome: Outcome, told: Correlation) -> None:
        exemplar = told.exemplar
        images = len(outcome.generation.images)
        self._images.labels(request.kind, outcome.engine).inc(images)
        self._work.labels(outcome.engine).inc(request.megapixel_steps)
        self._engine_times.labels(outcome.engine).observe(outcome.engine_s, exemplar)

    def collect(self) -> Iterable[Metric]:
        if self._pool is None:
            return
        engines = self._pool.status()
        yield from self._of_pool(self._pool, engines)
        yield from self._of_engines(engines)

    def _of_pool(self, pool: PoolView, engines: Sequence[EngineStatus]) -> Iterable[Metric]:
        """What is there with no engine too, so that an alert can see that there is none."""
        up = self._gauge("sluice_engines_up", "Engines that are up", "tier")
        for tier in TIERS:
            count = sum(engine.state == "up" and engine.tier == tier for engine in engines)
            up.add_metric([self._view, tier], count)
        yield up
        for name, documentation, value in (
            ("sluice_can_generate", "1 while some engine can be given work", pool.can_serve()),
            ("sluice_queue_length", "Requests waiting for an engine", pool.queue_length()),
            (
                "sluice_queue_oldest_seconds",
                "How long the oldest of them has waited",
                pool.oldest_wait_s(),
            ),
        ):
            gauge = self._gauge(name, documentation)
            gauge.add_metric([self._view], value)
            yield gauge

    def _of_engines(self, engines: Iterable[EngineStatus]) -> Iterable[Metric]:
        states = self._gauge(
            "sluice_engine_state", "1 for the state an engine is in", "engine", "tier", "state"
        )
        flying = self._gauge("sluice_engine_in_flight", "Requests at work on an engine", "engine")
        loaded = self._gauge(
            "sluice_engine_checkpoint",
            "1 for the checkpoint an engine has loaded",
            "engine",
            "checkpoint",
        )
        for engine in engines:
            for state in STATES:
                told = [self._view, engine.name, engine.tier, state]
                states.add_metric(told, float(engine.state == state))
            flying.add_metric([self._view, engine.name], engine.in_flight)
            if engine.loaded is not None:
                loaded.add_metric([self._view, engine.name, engine.loaded], 1.0)
        yield from (states, flying, loaded)

    def _gauge(self, name: str, documentation: str, *labels: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(name, documentation, labels=["view", *labels])
