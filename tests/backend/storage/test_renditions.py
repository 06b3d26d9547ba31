"""Renditions of stored images."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from PIL import Image

from ai.errors import InvalidRequest
from ai.image_files import ImageInfo, inspect_image
from backend.storage import renditions as module
from backend.storage.base import StorageFull
from backend.storage.local import LocalImageStore
from backend.storage.renditions import Rendered, Rendition, Renditions, RenditionsBusy, etag
from tests.backend.storage.samples import encode, files_below, noise

WIDE = {
    "png": encode(noise(size=(96, 48)), "PNG"),
    "jpeg": encode(noise(size=(96, 48)), "JPEG"),
    "webp": encode(noise(size=(96, 48)), "WEBP"),
}


@pytest.fixture
def renditions(store: LocalImageStore) -> Renditions:
    return Renditions(store)


@pytest.fixture
def image_id(store: LocalImageStore) -> UUID:
    return store.put(WIDE["png"], "image/png").id


def content(rendered: Rendered | None) -> bytes:
    assert rendered is not None
    content = rendered.content
    data = content.read_bytes() if isinstance(content, Path) else content
    assert inspect_image(data).media_type == rendered.media_type
    return data


def shape(rendered: Rendered | None) -> tuple[str, int, int]:
    info = inspect_image(content(rendered))
    return info.media_type.removeprefix("image/"), info.width, info.height


@pytest.mark.parametrize("source", WIDE)
@pytest.mark.parametrize("wanted", [None, "png", "jpeg", "webp"])
@pytest.mark.parametrize("width", [None, 48])
def test_an_image_is_had_in_any_format_and_smaller(
    source: str, wanted: str | None, width: int | None, store: LocalImageStore
) -> None:
    image_id = store.put(WIDE[source], f"image/{source}").id

    rendered = Renditions(store).get(image_id, Rendition(wanted, width))

    expected_size = (48, 24) if width else (96, 48)
    assert shape(rendered) == (wanted or source, *expected_size)


def test_a_rendition_shows_the_same_picture(store: LocalImageStore) -> None:
    image = Image.new("RGB", (200, 100), (250, 10, 10))
    image.paste((10, 10, 250), (100, 0, 200, 100))
    image_id = store.put(encode(image, "PNG"), "image/png").id

    data = content(Renditions(store).get(image_id, Rendition("webp", 64)))

    seen = Image.open(io.BytesIO(data)).convert("RGB")
    red, blue = seen.getpixel((8, 16)), seen.getpixel((56, 16))
    assert isinstance(red, tuple)
    assert isinstance(blue, tuple)
    assert red[0] > 220 > 50 > red[2]
    assert blue[2] > 220 > 50 > blue[0]


def test_the_image_itself_is_given_where_nothing_else_is_asked(
    renditions: Renditions, image_id: UUID, tmp_path: Path
) -> None:
    for same in (Rendition(), Rendition("png"), Rendition(None, 96), Rendition("png", 2048)):
        assert content(renditions.get(image_id, same)) == WIDE["png"]

    assert len(files_below(tmp_path)) == 1


def test_an_image_is_never_enlarged(renditions: Renditions, image_id: UUID) -> None:
    assert shape(renditions.get(image_id, Rendition("webp", 2048))) == ("webp", 96, 48)


def test_asking_for_widths_beyond_the_image_keeps_one_rendition(
    renditions: Renditions, image_id: UUID, tmp_path: Path
) -> None:
    for width in (None, 96, 97, 1024, 2048):
        renditions.get(image_id, Rendition("webp", width))

    assert len(files_below(tmp_path / "renditions")) == 1


def test_a_rendition_is_made_once(
    renditions: Renditions, image_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = renditions.get(image_id, Rendition("webp", 32))
    monkeypatch.setattr(module, "render", None)

    assert renditions.get(image_id, Rendition("webp", 32)) == first


def test_a_rendition_goes_with_its_image(
    renditions: Renditions, image_id: UUID, store: LocalImageStore, tmp_path: Path
) -> None:
    renditions.get(image_id, Rendition("webp", 32))

    store.delete(image_id)

    assert renditions.get(image_id, Rendition("webp", 32)) is None
    assert files_below(tmp_path) == []


def test_an_unknown_image_has_no_renditions(renditions: Renditions) -> None:
    assert renditions.get(uuid4(), Rendition()) is None
    assert renditions.get(uuid4(), Rendition("webp", 32)) is None


def test_metadata_is_left_out(store: LocalImageStore) -> None:
    secrets = {"comment": b"secret", "exif": b"Exif\0\0secret", "icc_profile": b"secret"}
    data = encode(noise(), "JPEG", **secrets)
    image_id = store.put(data, "image/jpeg").id

    for wanted in ("png", "jpeg", "webp"):
        made = content(Renditions(store).get(image_id, Rendition(wanted, 16)))
        assert b"secret" not in made


def test_a_transparent_image_is_put_on_white(store: LocalImageStore) -> None:
    image_id = store.put(encode(Image.new("RGBA", (32, 32)), "PNG"), "image/png").id

    data = content(Renditions(store).get(image_id, Rendition("jpeg")))

    assert Image.open(io.BytesIO(data)).getpixel((5, 5)) == (255, 255, 255)


def test_a_very_flat_image_keeps_a_pixel_of_height(store: LocalImageStore) -> None:
    image_id = store.put(encode(noise(size=(600, 1)), "PNG"), "image/png").id

    assert shape(Renditions(store).get(image_id, Rendition(None, 16))) == ("png", 16, 1)


def test_a_full_disk_does_not_keep_a_rendition_from_its_caller(
    renditions: Renditions,
    image_id: UUID,
    store: LocalImageStore,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def no_room(*args: object) -> None:
        raise StorageFull("full")

    monkeypatch.setattr(store, "put_rendition", no_room)

    rendered = renditions.get(image_id, Rendition("webp", 32))

    assert shape(rendered) == ("webp", 32, 16)
    assert rendered is not None
    assert isinstance(rendered.content, bytes)
    assert "rendition not stored" in caplog.messages


def test_an_image_broken_inside_is_missing_and_removed(
    renditions: Renditions, image_id: UUID, store: LocalImageStore
) -> None:
    found = store.locate(image_id)
    assert found is not None
    broken = bytearray(WIDE["png"])
    broken[len(broken) // 2] ^= 0xFF
    found.path.write_bytes(broken)

    assert renditions.get(image_id, Rendition("webp", 32)) is None
    assert store.locate(image_id) is None


def test_an_image_too_large_to_decode_is_refused_by_its_header() -> None:
    info = ImageInfo("image/png", 10_000, 10_000)

    with pytest.raises(InvalidRequest, match="too large"):
        module.render(b"not looked at", info, Rendition("webp", 32))


def test_what_cannot_be_decoded_is_refused() -> None:
    info = ImageInfo("image/png", 96, 48)

    with pytest.raises(InvalidRequest, match="cannot be made"):
        module.render(WIDE["png"][:60], info, Rendition("webp", 32))


def test_no_more_are_made_at_once_than_allowed(
    store: LocalImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, both = threading.Lock(), threading.Barrier(2, timeout=20)
    running: list[int] = []
    most = []

    def counted(data: bytes, info: ImageInfo, asked: Rendition) -> bytes:
        with lock:
            running.append(1)
            most.append(len(running))
        both.wait()
        with lock:
            running.pop()
        return WIDE["webp"]

    monkeypatch.setattr(module, "render", counted)
    renditions = Renditions(store, parallel=2, wait_s=20)
    ids = [store.put(WIDE["png"], "image/png").id for _ in range(6)]

    with ThreadPoolExecutor(6) as threads:
        made = list(threads.map(lambda i: renditions.get(i, Rendition("webp", 32)), ids))

    assert all(made)
    assert max(most) == 2


def test_a_caller_who_waits_too_long_for_a_turn_is_told_when_to_come_back(
    store: LocalImageStore, image_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, finish = threading.Event(), threading.Event()

    def slow(*args: object) -> bytes:
        started.set()
        finish.wait()
        return WIDE["webp"]

    monkeypatch.setattr(module, "render", slow)
    renditions = Renditions(store, parallel=1, wait_s=0.01)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(renditions.get, image_id, Rendition("webp", 32))
        started.wait()
        with pytest.raises(RenditionsBusy) as refused:
            renditions.get(image_id, Rendition("webp", 33))
        finish.set()

    assert refused.value.retry_after_s > 0
    assert first.result() is not None


def test_one_rendition_asked_for_by_many_at_once_is_the_same_to_all(
    renditions: Renditions, image_id: UUID, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(renditions.get, image_id, Rendition("webp", 32)) for _ in range(16)]

    assert len({content(each.result()) for each in asked}) == 1
    assert len(files_below(tmp_path / "renditions")) == 1


@pytest.mark.parametrize(
    ("image_format", "width", "field"),
    [
        ("gif", None, "format"),
        ("WEBP", None, "format"),
        ("", None, "format"),
        ("../png", None, "format"),
        (None, "15", "width"),
        (None, "2049", "width"),
        (None, "-32", "width"),
        (None, "", "width"),
        (None, "32.0", "width"),
        (None, "1e2", "width"),
        (None, "٣٢", "width"),
        (None, "9" * 5_000, "width"),
    ],
)
def test_a_rendition_that_makes_no_sense_is_refused_by_its_field(
    image_format: str | None, width: str | None, field: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Rendition.parse(image_format, width, None)

    assert refused.value.field == field


def test_a_rendition_is_read_from_a_query() -> None:
    assert Rendition.parse(None, None, None) == Rendition()
    assert Rendition.parse("webp", "256", "80") == Rendition("webp", 256, 80)
    assert Rendition.parse(None, "16", "1") == Rendition(None, 16, 1)
    assert Rendition.parse(None, "2048", "100") == Rendition(None, 2048, 100)


def test_every_rendition_of_every_image_has_its_own_entity_tag() -> None:
    images = [uuid4(), uuid4()]
    asked = [Rendition(), Rendition("webp"), Rendition("png"), Rendition(None, 32)]
    asked += [Rendition("webp", 32), Rendition("webp", 33)]

    tags = {etag(image_id, rendition) for image_id in images for rendition in asked}

    assert len(tags) == len(images) * len(asked)
    assert etag(images[0], Rendition()) == str(images[0])


def test_a_quality_asked_for_is_kept_beside_the_usual_one(
    renditions: Renditions, image_id: UUID
) -> None:
    usual = content(renditions.get(image_id, Rendition("webp")))
    poor = content(renditions.get(image_id, Rendition("webp", quality=5)))
    assert len(poor) < len(usual)
    assert content(renditions.get(image_id, Rendition("webp"))) == usual
    with pytest.raises(InvalidRequest, match="quality"):
        renditions.get(image_id, Rendition(quality=5))


def test_bytes_in_memory_are_left_alone_or_made_over_without_being_kept(
    renditions: Renditions, store: LocalImageStore
) -> None:
    before = store.usage()
    assert renditions.convert(WIDE["png"], "image/png", Rendition("png")) is WIDE["png"]
    made = renditions.convert(WIDE["png"], "image/png", Rendition("jpeg", quality=50))
    assert inspect_image(made) == ImageInfo("image/jpeg", 96, 48)
    assert store.usage() == before
