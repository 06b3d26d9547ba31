"""The pool's figures at /metrics: states asked at each scrape, events counted as they come."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ai.pool import EnginePool
from backend.metrics import Metrics

STATES = ("up", "cooling", "down", "unknown")


class PoolMetrics(Collector):
    """Listens to a pool (`PoolEvents`) and reports on it once told which to `watch`."""

    def __init__(self, metrics: Metrics) -> None:
        self._pool: EnginePool | None = None
        self._switches = metrics.counter(
            "sluice_checkpoint_switches", "Checkpoints loaded", "engine"
        )
        self._retries = metrics.counter(
            "sluice_retries", "Requests tried on another engine", "error"
        )
        self._fallbacks = metrics.counter(
            "sluice_fallbacks", "Requests a stand-in served", "engine"
        )
        self._metrics = metrics

    def watch(self, pool: EnginePool) -> None:
        """Report `pool`'s state at each scrape."""
        self._pool = pool
        self._metrics.add_collector(self)

    def engine_state_changed(self, engine: str, old: str, new: str, reason: str) -> None:
        """Nothing to count: the state itself is asked at each scrape."""

    def switched(self, engine: str, checkpoint: str) -> None:
        self._switches.labels(engine).inc()

    def retried(self, engine: str, error: Exception) -> None:
        self._retries.labels(type(error).__name__).inc()

    def fell_back(self, engine: str) -> None:
        self._fallbacks.labels(engine).inc()

    def collect(self) -> Iterable[Metric]:
        if self._pool is None:
            return
        states = GaugeMetricFamily(
            "sluice_engine_state",
            "1 for the state an engine is in",
            labels=["engine", "tier", "state"],
        )
        flying = GaugeMetricFamily(
            "sluice_engine_in_flight", "Requests at work on an engine", labels=["engine"]
        )
        for engine in self._pool.status():
            for state in STATES:
                states.add_metric([engine.name, engine.tier, state], float(engine.state == state))
            flying.add_metric([engine.name], engine.in_flight)
        yield states
        yield flying
        yield GaugeMetricFamily(
            "sluice_queue_length", "Requests waiting for an engine", value=self._pool.queue_length()
        )
