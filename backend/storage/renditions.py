"""The same image in another format or smaller, made when first asked for and then kept."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from PIL import Image

from ai.errors import InvalidRequest
from ai.image_files import ImageInfo, inspect_image
from ai.images import flatten
from backend.storage.base import ImageStore, Located, StorageError

log = logging.getLogger(__name__)

FORMATS = ("png", "jpeg", "webp")
MIN_WIDTH = 16
MAX_WIDTH = 2048
MAX_PIXELS = 2**26
"""The largest image that is decoded for a rendition."""
_SAVE_OPTIONS: dict[str, dict[str, int]] = {
    "png": {"compress_level": 6},
    "jpeg": {"quality": 90},
    "webp": {"quality": 85, "method": 4},
}


class RenditionsBusy(StorageError):
    """Too many renditions are being made; try again after `retry_after_s`."""

    retry_after_s = 2.0


@dataclass(frozen=True, slots=True)
class Rendition:
    """What is asked of an image: another `format`, at most `width` pixels across, or both.

    None leaves that as it is. Raises InvalidRequest for a format not in FORMATS or a width
    outside 16 to 2048.
    """

    format: str | None = None
    width: int | None = None

    def __post_init__(self) -> None:
        if self.format is not None and self.format not in FORMATS:
            raise InvalidRequest("format", f"must be one of {', '.join(FORMATS)}")
        if self.width is not None and not MIN_WIDTH <= self.width <= MAX_WIDTH:
            raise InvalidRequest("width", f"must be {MIN_WIDTH} to {MAX_WIDTH}")

    @classmethod
    def parse(cls, image_format: str | None, width: str | None) -> Rendition:
        """The rendition that a query asks for, None for what it leaves out."""
        if width is not None and not (width.isascii() and width.isdigit() and len(width) < 10):
            raise InvalidRequest("width", f"must be a whole number, {MIN_WIDTH} to {MAX_WIDTH}")
        return cls(image_format, None if width is None else int(width))


@dataclass(frozen=True, slots=True)
class Rendered:
    """What to answer with: `content` is a kept file, or bytes that could not be kept."""

    media_type: str
    content: Path | bytes


def etag(image_id: UUID, rendition: Rendition) -> str:
    """A strong entity tag, without its quotes: an id never changes what it stands for."""
    parts = [str(image_id), rendition.format, rendition.width and str(rendition.width)]
    return "-".join(part for part in parts if part)


class Renditions:
    """Makes renditions of the images in `store`, at most `parallel` at a time.

    Others wait for a turn, up to `wait_s` seconds.
    """

    def __init__(self, store: ImageStore, *, parallel: int = 2, wait_s: float = 10.0) -> None:
        self._store = store
        self._turns = threading.BoundedSemaphore(parallel)
        self._wait_s = wait_s

    def get(self, image_id: UUID, rendition: Rendition) -> Rendered | None:
        """The rendition of an image, never larger than it; None when there is no image.

        Raises InvalidRequest for what cannot be made of it, RenditionsBusy, StorageError.
        """
        original = self._store.locate(image_id)
        if original is None:
            return None
        image_format = rendition.format or _format_of(original.image.media_type)
        if rendition.width is None and image_format == _format_of(original.image.media_type):
            return _rendered(original)
        kept = self._store.locate_rendition(image_id, _name(image_format, rendition.width))
        return _rendered(kept) if kept else self._make(original, image_format, rendition.width)

    def _make(self, original: Located, image_format: str, width: int | None) -> Rendered | None:
        image_id = original.image.id
        data = self._store.read(image_id)
        if data is None:
            return None
        try:
            info = inspect_image(data)
        except ValueError:
            log.warning("broken image removed", extra={"image_id": str(image_id)})
            self._store.delete(image_id)
            return None
        if width is None or width >= info.width:
            width = None
            if image_format == _format_of(info.media_type):
                return _rendered(original)
        name = _name(image_format, width)
        with self._turn():
            kept = self._store.locate_rendition(image_id, name)
            if kept:
                return _rendered(kept)
            made = render(data, info, image_format, width)
        try:
            kept = self._store.put_rendition(image_id, name, made)
        except StorageError as error:
            log.warning("rendition not stored", extra={"error": str(error)})
            return Rendered(f"image/{image_format}", made)
        return _rendered(kept) if kept else None

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._turns.acquire(timeout=self._wait_s):
            raise RenditionsBusy("Too many renditions are being made; try again shortly.")
        try:
            yield
        finally:
            self._turns.release()


def render(data: bytes, info: ImageInfo, image_format: str, width: int | None) -> bytes:
    """The image in `data` as `image_format`, `width` pixels across (None: its own).

    On white where it is transparent, without its metadata. Raises InvalidRequest when it
    has more than 67 million pixels or cannot be made.
    """
    if info.width * info.height > MAX_PIXELS:
        raise InvalidRequest("width", "the image is too large for renditions")
    try:
        with Image.open(io.BytesIO(data), formats=[_format_of(info.media_type)]) as image:
            if width is not None:
                image.draft("RGB", (width * 2, 1))
            pixels = flatten(image)
        if width is not None:
            height = max(1, round(info.height * width / info.width))
            pixels = pixels.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
        pixels.info = {}
        buffer = io.BytesIO()
        pixels.save(buffer, image_format, **_SAVE_OPTIONS[image_format])
    except (OSError, ValueError, SyntaxError) as error:
        raise InvalidRequest("format", "cannot be made of this image") from error
    return buffer.getvalue()


def _rendered(located: Located) -> Rendered:
    return Rendered(located.image.media_type, located.path)


def _format_of(media_type: str) -> str:
    return media_type.removeprefix("image/")


def _name(image_format: str, width: int | None) -> str:
    return f"{width or 'full'}.{image_format}"
