"""A real store in a folder of the test's own, and a real disk that is soon full."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.storage.local import LocalImageStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalImageStore]:
    store = LocalImageStore(tmp_path, max_bytes=10_000_000, ttl_s=86_400)
    yield store
    store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting needs root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True, capture_output=True)
