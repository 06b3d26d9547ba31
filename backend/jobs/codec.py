"""Requests as JSON that outlives the process, their pictures kept in the image store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields
from typing import Any
from uuid import UUID

from ai.generation import GenerationRequest, Img2Img, Inpainting, Picture, Txt2Img
from backend.storage.base import ImageStore, StorageError

KINDS: dict[str, type[GenerationRequest]] = {
    kind.kind: kind for kind in (Txt2Img, Img2Img, Inpainting)
}


class PictureLost(Exception):
    """A picture the request was made with is no longer kept."""


def words_of(request: GenerationRequest) -> dict[str, Any]:
    """All of `request` but its pictures."""
    values = ((field.name, getattr(request, field.name)) for field in fields(request))
    return {name: value for name, value in values if not isinstance(value, Picture)}


def with_pictures(request: GenerationRequest, store: ImageStore) -> dict[str, Any]:
    """All of `request`, its pictures put into `store`. Raises StorageError."""
    kept = words_of(request)
    for field in fields(request):
        value = getattr(request, field.name)
        if isinstance(value, Picture):
            stored = store.put(value.data, value.media_type)
            kept[field.name] = {
                "id": str(stored.id),
                "media_type": value.media_type,
                "width": value.width,
                "height": value.height,
            }
    return kept


def picture_ids(kept: Mapping[str, Any]) -> list[UUID]:
    """The stored pictures that `with_pictures` refers to."""
    return [UUID(value["id"]) for value in kept.values() if isinstance(value, dict)]


def discard_pictures(kept: Mapping[str, Any], store: ImageStore) -> None:
    """Nothing will be made from them any more."""
    for picture in picture_ids(kept):
        with suppress(StorageError):
            store.delete(picture)


def request_from(kind: str, kept: Mapping[str, Any], store: ImageStore) -> GenerationRequest:
    """What `with_pictures` wrote. Raises PictureLost, StorageError."""
    return KINDS[kind](**{name: _restored(value, store.read) for name, value in kept.items()})


def _restored(value: Any, read: Callable[[UUID], bytes | None]) -> Any:
    if not isinstance(value, dict):
        return value
    data = read(UUID(value["id"]))
    if data is None:
        raise PictureLost("A picture of this job is no longer kept.")
    return Picture(data, value["media_type"], value["width"], value["height"])
