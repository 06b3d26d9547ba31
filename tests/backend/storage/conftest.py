"""A real store in a folder of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.storage.local import LocalImageStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalImageStore]:
    store = LocalImageStore(tmp_path, max_bytes=10_000_000, ttl_s=86_400)
    yield store
    store.close()
