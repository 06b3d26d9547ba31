"""The same image in another format or smaller, made when first asked for and then kept."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
MIN_QUALITY = 1
MAX_QUALITY = 100
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
    """What is asked of an image: another `format`, at most `width` pixels across, a `quality`.

    None leaves the first two as they are, and makes jpeg of 90 and webp of 85. Raises
    InvalidRequest for a format not in FORMATS, a width outside 16 to 2048, or a quality
    outside 1 to 100 or of a png.
    """

    format: str | None = None
    width: int | None = None
    quality: int | None = None

    def __post_init__(self) -> None:
        if self.format is not None and self.format not in FORMATS:
            raise InvalidRequest("format", f"must be one of {', '.join(FORMATS)}")
        if self.width is not None and not MIN_WIDTH <= self.width <= MAX_WIDTH:
            raise InvalidRequest("width", f"must be {MIN_WIDTH} to {MAX_WIDTH}")
        if self.quality is not None and not MIN_QUALITY <= self.quality <= MAX_QUALITY:
            raise InvalidRequest("quality", f"must be {MIN_QUALITY} to {MAX_QUALITY}")
        if self.quality is not None and self.format == "png":
            raise InvalidRequest("quality", "is of jpeg and webp; png loses nothing")

    @classmethod
    def parse(cls, image_format: str | None, width: str | None, quality: str | None) -> Rendition:
        """The rendition that a query asks for, None for what it leaves out."""
        return cls(image_format, _whole("width", width), _whole("quality", quality))

    def of(self, media_type: str) -> Rendition:
        """The same, its format settled, of an image that is of `media_type`."""
        return replace(self, format=self.format or _format_of(media_type))

    @property
    def only_formats(self) -> bool:
        """Whether it asks for nothing but a format."""
        return self.width is None and self.quality is None


@dataclass(frozen=True, slots=True)
class Rendered:
    """What to answer with: `content` is a kept file, or bytes that could not be kept."""

    media_type: str
    content: Path | bytes


def etag(image_id: UUID, rendition: Rendition) -> str:
    """A strong entity tag, without its quotes: an id never changes what it stands for."""
    asked = (rendition.format, rendition.width, _quality_mark(rendition))
    return "-".join(str(part) for part in (image_id, *asked) if part)


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
        asked = rendition.of(original.image.media_type)
        if asked.only_formats and asked.format == _format_of(original.image.media_type):
            return _rendered(original)
        kept = self._store.locate_rendition(image_id, _name(asked))
        return _rendered(kept) if kept else self._make(original, asked)

    def convert(self, data: bytes, media_type: str, rendition: Rendition) -> bytes:
        """The rendition of an image in memory, not kept; `data` itself where that is it.

        Raises InvalidRequest for what cannot be made of it, RenditionsBusy.
        """
        asked = rendition.of(media_type)
        if asked.only_formats and asked.format == _format_of(media_type):
            return data
        with self._turn():
            return render(data, inspect_image(data), asked)

    def _make(self, original: Located, asked: Rendition) -> Rendered | None:
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
        if asked.width is not None and asked.width >= info.width:
            asked = replace(asked, width=None)
            if asked.only_formats and asked.format == _format_of(info.media_type):
                return _rendered(original)
        with self._turn():
            kept = self._store.locate_rendition(image_id, _name(asked))
            if kept:
                return _rendered(kept)
            made = render(data, info, asked)
        try:
            kept = self._store.put_rendition(image_id, _name(asked), made)
        except StorageError as error:
            log.warning("rendition not stored", extra={"error": str(error)})
            return Rendered(f"image/{asked.format}", made)
        return _rendered(kept) if kept else None

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._turns.acquire(timeout=self._wait_s):
            raise RenditionsBusy("Too many renditions are being made; try again shortly.")
        try:
            yield
        finally:
            self._turns.release()


def render(data: bytes, info: ImageInfo, asked: Rendition) -> bytes:
    """The rendition of the image in `data`; `asked` says in which format.

    On white where it is transparent, without its metadata. Raises InvalidRequest when it
    has more than 67 million pixels or cannot be made.
    """
    if info.width * info.height > MAX_PIXELS:
        raise InvalidRequest("width", "the image is too large for renditions")
    try:
        with Image.open(io.BytesIO(data), formats=[_format_of(info.media_type)]) as image:
            if asked.width is not None:
                image.draft("RGB", (asked.width * 2, 1))
            pixels = flatten(image)
        if asked.width is not None:
            size = (asked.width, max(1, round(info.height * asked.width / info.width)))
            pixels = pixels.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
        pixels.info = {}
        buffer = io.BytesIO()
        pixels.save(buffer, asked.format, **_save_options(asked))
    except (OSError, ValueError, SyntaxError) as error:
        raise InvalidRequest("format", "cannot be made of this image") from error
    return buffer.getvalue()


def _rendered(located: Located) -> Rendered:
    return Rendered(located.image.media_type, located.path)


def _format_of(media_type: str) -> str:
    return media_type.removeprefix("image/")


def _save_options(asked: Rendition) -> dict[str, int]:
    options = _SAVE_OPTIONS[asked.format or "png"]
    return options if asked.quality is None else {**options, "quality": asked.quality}


def _name(asked: Rendition) -> str:
    marks = [asked.width or "full", _quality_mark(asked)]
    return ".".join(str(mark) for mark in (*marks, asked.format) if mark)


def _quality_mark(asked: Rendition) -> str | None:
    return None if asked.quality is None else f"q{asked.quality}"


def _whole(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidRequest(name, "must be a whole number")
    return int(text)
