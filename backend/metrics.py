"""What can be watched at /metrics. Labels are bounded: routes, methods, engines, limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    values,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

DURATIONS_S = (0.005, 0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
SHORT_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS"})

Exemplar = dict[str, str]
Figure = TypeVar("Figure", Counter, Histogram)


class Metrics:
    """The figures of one application.

    With `is_shared` they are those of all processes with the same PROMETHEUS_MULTIPROC_DIR,
    which prometheus_client reads itself. What a collector added here tells is always of the
    process that is asked.
    """

    def __init__(self, *, is_shared: bool = False) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._counted = CollectorRegistry()
        self.registry = CollectorRegistry()
        """Everything, gathered at each scrape."""
        self.registry.register(_of_all_processes() if is_shared else self._counted)
        self._requests = self.counter(
            "sluice_requests", "Requests answered", "route", "method", "status"
        )
        self._durations = self.histogram(
            "sluice_request_seconds", "From a request's arrival to its answer", "route"
        )
        self._gateway_times = self.histogram(
            "sluice_gateway_seconds",
            "Of the time of a generation's request, what was neither queue nor engine",
            buckets=SHORT_S,
        )
        self._rejections = self.counter(
            "sluice_rejections", "Requests refused because a limit was met", "limit"
        )
        self._results = self.counter(
            "sluice_result_cache",
            "Requests that an earlier result might have answered: hit, miss, or shared with "
            "another just then",
            "result",
        )
        self._deliveries = self.counter(
            "sluice_webhook_tries", "Webhooks sent: delivered, retried, or given_up", "outcome"
        )
        self._redis_errors = self.counter(
            "sluice_redis_errors", "Times that Redis did not do what it was asked, or not in time"
        )
        self._degraded = Gauge(
            "sluice_limiter_degraded",
            "1 while limits are kept in memory since Redis does not answer",
            registry=self._counted,
            multiprocess_mode="livemax",
        )

    def counter(self, name: str, documentation: str, *labels: str) -> Counter:
        """A counter by these (bounded) labels, shown with the rest."""
        return _quick(Counter(name, documentation, labels, registry=self._counted))

    def histogram(
        self, name: str, documentation: str, *labels: str, buckets: Sequence[float] = DURATIONS_S
    ) -> Histogram:
        """A histogram of seconds by these labels, shown with the rest."""
        return _quick(
            Histogram(name, documentation, labels, registry=self._counted, buckets=buckets)
        )

    def add_collector(self, collector: Collector) -> None:
        """Have `collector` asked at each scrape."""
        self.registry.register(collector)

    def request_served(
        self,
        route: str,
        method: str,
        status: int,
        duration_s: float,
        timings_s: Mapping[str, float],
        exemplar: Exemplar | None = None,
    ) -> None:
        """`timings_s` are the request's parts by name: gateway, and queue and engine if any."""
        known = method if method in METHODS else "other"
        self._requests.labels(route, known, str(status)).inc()
        self._durations.labels(route).observe(duration_s, exemplar)
        if "engine" in timings_s:
            self._gateway_times.observe(timings_s["gateway"], exemplar)

    def rejected(self, limit: str) -> None:
        """A request was refused since it met `limit`."""
        self._rejections.labels(limit).inc()

    def result_looked_up(self, result: str) -> None:
        """`result` is hit, miss or shared."""
        self._results.labels(result).inc()

    def webhook_tried(self, outcome: str) -> None:
        """`outcome` is delivered, retried or given_up."""
        self._deliveries.labels(outcome).inc()

    def redis_failed(self) -> None:
        self._redis_errors.inc()

    def limits_degraded(self, degraded: bool) -> None:
        self._degraded.set(degraded)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """Everything, and its media type: OpenMetrics, with exemplars, if `accept` names that."""
        encode, media_type = choose_encoder(accept)
        return encode(self.registry), media_type


def _quick(metric: Figure) -> Figure:
    """`metric`, what belongs to its labels looked up once: that takes as long as counting does."""
    metric.labels = cache(metric.labels)  # type: ignore[method-assign]
    return metric


def keep_figures_in_memory() -> None:
    """Whatever PROMETHEUS_MULTIPROC_DIR says, which is for the web processes beside us."""
    values.ValueClass = values.MutexValue


def _of_all_processes() -> CollectorRegistry:
    counted = CollectorRegistry()
    MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
    return counted
