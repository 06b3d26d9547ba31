"""What the service needs of an image store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol
from uuid import UUID


class StorageError(Exception):
    """The store cannot be used now. The message is for callers: it holds no path."""


class StorageFull(StorageError):
    """There is no room left for an image."""


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image, or a rendition of it, that is kept under `id`. `created_at` is in UTC."""

    id: UUID
    media_type: str
    size_bytes: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Located:
    """A kept image and where its bytes are: the file at `path`.

    It may be evicted at any moment, so opening `path` may yet raise FileNotFoundError; a
    file once opened stays readable to its end.
    """

    image: StoredImage
    path: Path


@dataclass(frozen=True, slots=True)
class Usage:
    """What a store holds: how many images, and bytes in all, renditions included."""

    images: int
    size_bytes: int


class ImageStore(Protocol):
    """Keeps the bytes of images, and of renditions made of them, until they are evicted.

    Safe to use from many threads. Every method but `close` may raise StorageError.
    """

    def put(self, data: bytes, media_type: str) -> StoredImage:
        """Keep a whole PNG, JPEG or WebP under a new id. Raises StorageFull, StorageError."""
        ...

    def locate(self, image_id: UUID) -> Located | None:
        """Where an image is; None when there is none, or no longer. Counts as a use of it."""
        ...

    def read(self, image_id: UUID) -> bytes | None:
        """The bytes of an image; None and a use likewise."""
        ...

    def put_rendition(self, image_id: UUID, name: str, data: bytes) -> Located | None:
        """Keep what was made of an image; None when that is gone by now.

        `name` is a file name of ours, never a caller's words.
        """
        ...

    def locate_rendition(self, image_id: UUID, name: str) -> Located | None:
        """Where a rendition is; None when it or its image is not there. A use of both."""
        ...

    def delete(self, image_id: UUID) -> bool:
        """Remove an image and its renditions; whether there was one."""
        ...

    def usage(self) -> Usage:
        """What is held, without looking: near enough, and put right by each sweep."""
        ...

    def check(self) -> None:
        """Raise StorageError unless an image could be kept now."""
        ...

    def close(self) -> None:
        """Stop the threads."""
        ...


def parse_image_id(text: str) -> UUID | None:
    """The id that `text` is in its one canonical spelling, lower case with hyphens."""
    try:
        image_id = UUID(text)
    except ValueError:
        return None
    return image_id if str(image_id) == text else None
