"""Pictures to keep, and ways to look at and age what is kept."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

DEADLINE_S = 20.0


def encode(image: Image.Image, image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def noise(seed: int = 0, size: tuple[int, int] = (24, 16)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


PNG = encode(noise(), "PNG")
JPEG = encode(noise(), "JPEG")
WEBP = encode(noise(), "WEBP")
EVERY = {"image/png": PNG, "image/jpeg": JPEG, "image/webp": WEBP}


def files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if not path.is_dir())


def age(path: Path, *, created_s: float, used_s: float | None = None) -> None:
    """Make a file look created and used so many seconds ago."""
    now = time.time()
    os.utime(path, (now - (created_s if used_s is None else used_s), now - created_s))


def eventually(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def written_a_little_at_a_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """From now on three bytes at most go to disk at once; before each, whether `path` is there."""
    seen = []
    really_write = os.write

    def write_a_little(descriptor: int, data: memoryview) -> int:
        seen.append(path.exists())
        return really_write(descriptor, data[:3])

    monkeypatch.setattr("backend.storage.files.os.write", write_a_little)
    return seen
