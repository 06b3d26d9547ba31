"""Requests as JSON that outlives the process, their pictures kept in the image store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType
from typing import Any
from uuid import UUID

from ai.extras import ControlUnit, DetailUnit, Extras, HiresFix
from ai.generation import GenerationRequest, Img2Img, Inpainting, Picture, Txt2Img
from backend.storage.base import ImageStore, StorageError

KINDS: dict[str, type[GenerationRequest]] = {
    kind.kind: kind for kind in (Txt2Img, Img2Img, Inpainting)
}
VALUES: dict[str, type[Any]] = {
    value.__name__: value for value in (Extras, HiresFix, ControlUnit, DetailUnit)
}
"""Values within a request, by the name they are written under as `VALUE`."""
VALUE = "value"
_PLAIN = (str, int, float, NoneType)


class PictureLost(Exception):
    """A picture the request was made with is no longer kept."""


def written(value: Any, picture: Callable[[Picture], object]) -> dict[str, Any]:
    """All of a request, or of a value within one, as JSON, each picture as `picture` makes it."""
    members = {name: getattr(value, name) for name in _names(value.__class__)}
    return {
        name: member if isinstance(member, _PLAIN) else _written(member, picture)
        for name, member in members.items()
    }


def words_of(request: GenerationRequest) -> dict[str, Any]:
    """All of `request` but its pictures, which are null."""
    return written(request, lambda _: None)


def with_pictures(request: GenerationRequest, store: ImageStore) -> dict[str, Any]:
    """All of `request`, its pictures put into `store`. Raises StorageError."""

    def kept(picture: Picture) -> dict[str, object]:
        return {
            "id": str(store.put(picture.data, picture.media_type).id),
            "media_type": picture.media_type,
            "width": picture.width,
            "height": picture.height,
        }

    return written(request, kept)


def picture_ids(kept: Mapping[str, Any]) -> list[UUID]:
    """The stored pictures that `with_pictures` refers to."""
    return list(_picture_ids(list(kept.values())))


def discard_pictures(kept: Mapping[str, Any], store: ImageStore) -> None:
    """Nothing will be made from them any more."""
    for picture in picture_ids(kept):
        with suppress(StorageError):
            store.delete(picture)


def request_from(kind: str, kept: Mapping[str, Any], store: ImageStore) -> GenerationRequest:
    """What `with_pictures` wrote. Raises PictureLost, StorageError."""
    return KINDS[kind](**{name: _restored(value, store.read) for name, value in kept.items()})


def outline_from(kind: str, kept: Mapping[str, Any]) -> GenerationRequest:
    """What `with_pictures` wrote, its pictures without their bytes."""
    return KINDS[kind](**{name: _restored(value, lambda _: b"") for name, value in kept.items()})


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _written(value: Any, picture: Callable[[Picture], object]) -> Any:
    if isinstance(value, Picture):
        return picture(value)
    if isinstance(value, tuple):
        return [_written(member, picture) for member in value]
    if is_dataclass(value):
        return {VALUE: type(value).__name__} | written(value, picture)
    return value


def _picture_ids(value: Any) -> Iterator[UUID]:
    if isinstance(value, dict) and VALUE not in value:
        yield UUID(value["id"])
        return
    for member in value.values() if isinstance(value, dict) else value:
        if isinstance(member, dict | list):
            yield from _picture_ids(member)


def _restored(value: Any, read: Callable[[UUID], bytes | None]) -> Any:
    if isinstance(value, list):
        return tuple(_restored(member, read) for member in value)
    if not isinstance(value, dict):
        return value
    if VALUE in value:
        members = {name: _restored(value[name], read) for name in value if name != VALUE}
        return VALUES[value[VALUE]](**members)
    data = read(UUID(value["id"]))
    if data is None:
        raise PictureLost("A picture of this job is no longer kept.")
    return Picture(data, value["media_type"], value["width"], value["height"])
