"""The store that keeps images in a folder."""

from __future__ import annotations

import errno
import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from backend.storage.base import ImageStore, Located, StorageError, StorageFull, Usage
from backend.storage.local import USE_NOTED_EVERY_S, LocalImageStore
from tests.backend.storage.samples import (
    EVERY,
    PNG,
    WEBP,
    age,
    encode,
    eventually,
    files_below,
    noise,
)


def located(store: ImageStore, image_id: UUID) -> Located:
    found = store.locate(image_id)
    assert found is not None
    return found


def path_of(store: ImageStore, image_id: UUID) -> Path:
    return located(store, image_id).path


@pytest.mark.parametrize("media_type", EVERY)
def test_an_image_is_found_again_as_it_was_put(store: LocalImageStore, media_type: str) -> None:
    data = EVERY[media_type]

    stored = store.put(data, media_type)

    found = located(store, stored.id)
    assert found.image == stored
    assert found.path.read_bytes() == store.read(stored.id) == data
    assert (stored.media_type, stored.size_bytes) == (media_type, len(data))
    assert abs(datetime.now(UTC) - stored.created_at) < timedelta(minutes=1)


def test_an_image_is_found_by_another_store_on_the_same_folder(
    store: LocalImageStore, tmp_path: Path
) -> None:
    stored = store.put(PNG, "image/png")
    other = LocalImageStore(tmp_path, max_bytes=10_000_000, ttl_s=86_400)

    assert located(other, stored.id).image == stored
    assert eventually(lambda: other.usage() == Usage(1, len(PNG)))
    other.close()


def test_images_lie_in_folders_by_their_id(store: LocalImageStore, tmp_path: Path) -> None:
    image_id = store.put(PNG, "image/png").id

    assert files_below(tmp_path) == [tmp_path / "images" / str(image_id)[:2] / str(image_id)]


def test_an_unknown_id_is_nothing(store: LocalImageStore) -> None:
    assert store.locate(uuid4()) is None
    assert store.read(uuid4()) is None
    assert store.locate_rendition(uuid4(), "16.png") is None
    assert store.delete(uuid4()) is False


@pytest.mark.parametrize(
    ("data", "media_type"),
    [(PNG, "image/jpeg"), (PNG[:-4], "image/png"), (b"", "image/png"), (b"text", "text/plain")],
)
def test_what_could_not_be_served_is_not_kept(
    data: bytes, media_type: str, store: LocalImageStore, tmp_path: Path
) -> None:
    with pytest.raises(StorageError, match="not kept"):
        store.put(data, media_type)

    assert files_below(tmp_path) == []


def test_a_deleted_image_is_gone_and_its_renditions_too(
    store: LocalImageStore, tmp_path: Path
) -> None:
    image_id = store.put(PNG, "image/png").id
    other = store.put(PNG, "image/png")
    store.put_rendition(image_id, "16.webp", WEBP)

    assert store.delete(image_id) is True

    assert store.locate(image_id) is None
    assert store.locate_rendition(image_id, "16.webp") is None
    assert store.delete(image_id) is False
    assert files_below(tmp_path) == [located(store, other.id).path]
    assert store.usage() == Usage(1, other.size_bytes)


def test_a_rendition_is_found_by_its_name(store: LocalImageStore) -> None:
    image_id = store.put(PNG, "image/png").id

    kept = store.put_rendition(image_id, "16.webp", WEBP)

    assert kept is not None
    assert kept == store.locate_rendition(image_id, "16.webp")
    assert (kept.image.id, kept.image.media_type) == (image_id, "image/webp")
    assert kept.path.read_bytes() == WEBP
    assert store.locate_rendition(image_id, "17.webp") is None
    assert store.usage() == Usage(1, len(PNG) + len(WEBP))


def test_a_rendition_of_an_image_deleted_meanwhile_is_not_kept(
    store: LocalImageStore, tmp_path: Path
) -> None:
    image_id = store.put(PNG, "image/png").id
    store.delete(image_id)

    assert store.put_rendition(image_id, "16.webp", WEBP) is None

    assert files_below(tmp_path) == []
    assert store.usage() == Usage(0, 0)


def test_an_image_may_be_deleted_while_its_rendition_is_written(
    store: LocalImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id = store.put(PNG, "image/png").id
    really_write = os.write

    def delete_and_write(descriptor: int, data: memoryview) -> int:
        store.delete(image_id)
        return really_write(descriptor, data)

    monkeypatch.setattr("backend.storage.files.os.write", delete_and_write)

    assert store.put_rendition(image_id, "16.webp", WEBP) is None
    assert files_below(tmp_path) == []
    assert store.usage() == Usage(0, 0)


@pytest.mark.parametrize(
    "left",
    [b"", PNG[:7], PNG[: len(PNG) // 2], PNG[:-1], PNG[:-20] + bytes(20), bytes(len(PNG))],
    ids=["nothing", "a start", "half", "all but a byte", "a zeroed end", "zeroes"],
)
def test_an_image_spoiled_by_a_power_cut_is_missing_logged_and_removed(
    left: bytes, store: LocalImageStore, caplog: pytest.LogCaptureFixture
) -> None:
    image_id = store.put(PNG, "image/png").id
    path = path_of(store, image_id)
    path.write_bytes(left)

    assert store.locate(image_id) is None

    assert not path.exists()
    assert "broken image removed" in caplog.messages
    assert store.usage().images == 0


def test_a_spoiled_rendition_is_removed_and_its_image_stays(store: LocalImageStore) -> None:
    image_id = store.put(PNG, "image/png").id
    kept = store.put_rendition(image_id, "16.webp", WEBP)
    assert kept is not None
    kept.path.write_bytes(WEBP[:20])

    assert store.locate_rendition(image_id, "16.webp") is None

    assert not kept.path.exists()
    assert store.locate(image_id) is not None


def test_links_are_not_followed(store: LocalImageStore, tmp_path: Path) -> None:
    image_id = store.put(PNG, "image/png").id
    path = path_of(store, image_id)
    outside = tmp_path / "outside"
    path.rename(outside)
    path.symlink_to(outside)

    assert store.locate(image_id) is None
    assert store.read(image_id) is None
    assert outside.exists()


def test_a_use_is_noted_at_most_once_an_hour(
    store: LocalImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = []

    def note(descriptor: int, *, ns: tuple[int, int]) -> None:
        noted.append(ns)
        really_note(descriptor, ns=ns)

    image_id = store.put(PNG, "image/png").id
    path = path_of(store, image_id)
    age(path, created_s=9_000, used_s=USE_NOTED_EVERY_S - 60)
    really_note = os.utime
    monkeypatch.setattr("backend.storage.local.os.utime", note)
    store.locate(image_id)
    assert noted == []

    monkeypatch.undo()
    age(path, created_s=9_000, used_s=USE_NOTED_EVERY_S + 60)
    created_ns = path.stat().st_mtime_ns
    monkeypatch.setattr("backend.storage.local.os.utime", note)
    for _ in range(3):
        store.locate(image_id)

    assert [modified for _, modified in noted] == [created_ns]
    assert path.stat().st_mtime_ns == created_ns


def test_using_a_rendition_is_a_use_of_its_image(store: LocalImageStore) -> None:
    image_id = store.put(PNG, "image/png").id
    store.put_rendition(image_id, "16.webp", WEBP)
    path = path_of(store, image_id)
    age(path, created_s=9_000)

    store.locate_rendition(image_id, "16.webp")

    assert path.stat().st_atime > path.stat().st_mtime + 1_000


def test_a_use_that_cannot_be_noted_is_served_all_the_same(
    store: LocalImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise OSError(errno.EROFS, "read-only")

    image_id = store.put(PNG, "image/png").id
    age(path_of(store, image_id), created_s=9_000)
    monkeypatch.setattr("backend.storage.local.os.utime", refuse)

    assert store.read(image_id) == PNG


def test_a_full_disk_is_told_and_leaves_nothing_behind(
    store: LocalImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(descriptor: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr("backend.storage.files.os.write", no_room)
    with pytest.raises(StorageFull):
        store.put(PNG, "image/png")
    with pytest.raises(StorageFull):
        store.check()

    assert files_below(tmp_path) == []
    assert store.usage() == Usage(0, 0)


def test_a_check_passes_and_leaves_nothing_behind(store: LocalImageStore, tmp_path: Path) -> None:
    store.check()

    assert files_below(tmp_path) == []


def test_a_store_whose_folder_cannot_be_made_starts_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = LocalImageStore(tmp_path / "file", max_bytes=1_000, ttl_s=60)

    with pytest.raises(StorageError):
        store.check()
    with pytest.raises(StorageError):
        store.put(PNG, "image/png")
    assert store.locate(uuid4()) is None
    store.close()


def test_sweeping_evicts_what_was_not_used_for_longest(tmp_path: Path) -> None:
    store = LocalImageStore(tmp_path, max_bytes=4 * len(PNG) - 1, ttl_s=86_400)
    images = [store.put(PNG, "image/png").id for _ in range(3)]
    paths = [path_of(store, image_id) for image_id in images]
    for path, hours in zip(paths, (2, 3, 4), strict=True):
        age(path, created_s=20_000, used_s=hours * 3_600)
    store.locate(images[2])
    store.put(PNG, "image/png")

    store.sweep()

    assert [path.exists() for path in paths] == [True, False, True]
    store.close()


def test_putting_past_the_bound_makes_the_store_sweep(tmp_path: Path) -> None:
    store = LocalImageStore(tmp_path, max_bytes=3 * len(PNG), ttl_s=86_400)
    paths = [path_of(store, store.put(PNG, "image/png").id) for _ in range(3)]
    for path in paths:
        age(path, created_s=20_000)

    store.put(PNG, "image/png")

    assert eventually(lambda: not all(path.exists() for path in paths))
    store.close()


def test_closing_stops_the_threads(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    store = LocalImageStore(tmp_path, max_bytes=1_000, ttl_s=60)
    started = set(threading.enumerate()) - before
    assert len(started) == 3

    store.close()

    assert not any(thread.is_alive() for thread in started)


def test_many_at_once_never_meet_a_half_image(tmp_path: Path) -> None:
    """Putting, reading, rendering, deleting and evicting, all at the same time."""
    store = LocalImageStore(tmp_path, max_bytes=40_000, ttl_s=86_400)
    kinds = [(encode(noise(n), "PNG"), "image/png") for n in range(3)]
    put: dict[UUID, bytes] = {}
    start = threading.Barrier(6)

    def work(seed: int) -> None:
        chance = random.Random(seed)
        start.wait()
        for _ in range(60):
            data, media_type = chance.choice(kinds)
            image_id = store.put(data, media_type).id
            put[image_id] = data
            some_id = chance.choice(list(put))
            assert store.read(some_id) in (None, put[some_id])
            kept = store.put_rendition(some_id, "16.webp", WEBP)
            if kept and (found := store.locate(some_id)):
                assert read_if_there(found.path) in (None, put[some_id])
                assert read_if_there(kept.path) in (None, WEBP)
                age_if_there(found.path)
            if chance.random() < 0.3:
                store.delete(some_id)
            if chance.random() < 0.1:
                store.sweep()

    with ThreadPoolExecutor(6) as threads:
        for done in [threads.submit(work, seed) for seed in range(6)]:
            done.result()
    store.close()

    for image_id in put:
        store.delete(image_id)
    assert files_below(tmp_path) == []
    store.sweep()
    assert store.usage() == Usage(0, 0)


def read_if_there(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def age_if_there(path: Path) -> None:
    try:
        age(path, created_s=5_000)
    except FileNotFoundError:
        return


def test_a_file_open_when_its_image_is_evicted_stays_readable(store: LocalImageStore) -> None:
    image_id = store.put(PNG, "image/png").id
    with path_of(store, image_id).open("rb") as file:
        store.delete(image_id)

        assert file.read() == PNG
        assert os.fstat(file.fileno()).st_size == len(PNG)
