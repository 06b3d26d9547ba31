"""What is kept, and what room is left for more, at /metrics."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from backend.storage.base import ImageStore


class StoreMetrics(Collector):
    """The usage of `store`, and of the disk that `data_dir` is on, at each scrape."""

    def __init__(self, store: ImageStore, data_dir: Path) -> None:
        self._store = store
        self._data_dir = data_dir

    def collect(self) -> Iterable[Metric]:
        usage = self._store.usage()
        yield GaugeMetricFamily("sluice_store_images", "Images kept", value=usage.images)
        yield GaugeMetricFamily(
            "sluice_store_bytes", "Bytes kept, renditions included", value=usage.size_bytes
        )
        with suppress(OSError):
            disk = shutil.disk_usage(self._data_dir)
            yield GaugeMetricFamily(
                "sluice_disk_free_bytes", "Free on the disk of DATA_DIR", value=disk.free
            )
            yield GaugeMetricFamily(
                "sluice_disk_size_bytes", "Size of the disk of DATA_DIR", value=disk.total
            )
