"""What can be watched at /metrics. Labels are bounded: routes, methods, statuses, engines."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

DURATIONS_S = (0.005, 0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS"})


class Metrics:
    """The figures of one application, in a registry of its own."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "sluice_requests",
            "Requests answered",
            ["route", "method", "status"],
            registry=self._registry,
        )
        self._durations = Histogram(
            "sluice_request_seconds",
            "From a request's arrival to its answer",
            ["route"],
            buckets=DURATIONS_S,
            registry=self._registry,
        )
        self._images = Counter(
            "sluice_images", "Images made", ["kind", "engine"], registry=self._registry
        )
        self._work = Counter(
            "sluice_megapixel_steps",
            "Millions of pixels x steps x images made",
            ["engine"],
            registry=self._registry,
        )
        self._waits = Histogram(
            "sluice_queue_seconds",
            "Time a request waited for an engine",
            buckets=DURATIONS_S,
            registry=self._registry,
        )
        self._engine_times = Histogram(
            "sluice_engine_seconds",
            "Time an engine took for a request",
            ["engine"],
            buckets=DURATIONS_S,
            registry=self._registry,
        )
        self._results = Counter(
            "sluice_result_cache",
            "Requests that an earlier result might have answered: hit, miss, or shared with "
            "another just then",
            ["result"],
            registry=self._registry,
        )

    def counter(self, name: str, documentation: str, label: str) -> Counter:
        """A counter by one (bounded) label, shown with the rest."""
        return Counter(name, documentation, [label], registry=self._registry)

    def add_collector(self, collector: Collector) -> None:
        """Have `collector` asked at each scrape."""
        self._registry.register(collector)

    def request_served(self, route: str, method: str, status: int, duration_s: float) -> None:
        known = method if method in METHODS else "other"
        self._requests.labels(route, known, status).inc()
        self._durations.labels(route).observe(duration_s)

    def result_looked_up(self, result: str) -> None:
        """`result` is hit, miss or shared."""
        self._results.labels(result).inc()

    def generated(
        self,
        kind: str,
        engine: str,
        images: int,
        megapixel_steps: float,
        queue_s: float,
        engine_s: float,
    ) -> None:
        self._images.labels(kind, engine).inc(images)
        self._work.labels(engine).inc(megapixel_steps)
        self._waits.observe(queue_s)
        self._engine_times.labels(engine).observe(engine_s)

    def exposition(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self._registry)
