"""Images written into files that were ready before they came."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from backend.storage.base import StorageFull
from backend.storage.folders import Folders
from backend.storage.local import LocalImageStore
from backend.storage.spares import SPARES, Spares
from tests.backend.storage.samples import (
    PNG,
    age,
    eventually,
    files_below,
    written_a_little_at_a_time,
)


@pytest.fixture(autouse=True)
def _needs_unnamed_files(tmp_path: Path) -> None:
    try:
        os.close(os.open(tmp_path, os.O_TMPFILE | os.O_RDWR))
    except OSError:
        pytest.skip("this file system has no files without a name")


@pytest.fixture
def spares(tmp_path: Path) -> Iterator[Spares]:
    made = Spares(tmp_path)
    made.start()
    yield made
    made.close()


def kept(spares: Spares, path: Path, data: bytes) -> os.stat_result:
    """`data`, written into a spare as soon as there is one."""
    found: list[os.stat_result] = []

    def is_written() -> bool:
        status = spares.write(path, data)
        found.extend([status] if status else [])
        return bool(found)

    assert eventually(is_written)
    return found[0]


def unnamed_below(folder: Path) -> set[int]:
    """The inodes of the files without a name that this process has open there."""
    found = set()
    for opened in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the one that this folder itself is read by
            target = str(opened.readlink())
            if target.startswith(f"{folder}/") and target.endswith("(deleted)"):
                found.add(opened.stat().st_ino)
    return found


def one_is_ready(folder: Path) -> bool:
    return eventually(lambda: bool(unnamed_below(folder)))


def test_a_file_is_whole_and_for_its_owner_only(spares: Spares, tmp_path: Path) -> None:
    path = tmp_path / "file"

    status = kept(spares, path, b"content")

    assert path.read_bytes() == b"content"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (status.st_size, status.st_mtime_ns) == (7, path.stat().st_mtime_ns)
    assert files_below(tmp_path) == [path]


@pytest.mark.parametrize("sizes", [(100, 300_000), (300_000, 100), (9_000_000, 8_500_000)])
def test_an_image_of_another_size_than_the_last_is_whole(
    sizes: tuple[int, int], spares: Spares, tmp_path: Path
) -> None:
    """The first says how large the spare is that the second gets."""
    images = [os.urandom(size) for size in sizes]

    for image in images:
        path = tmp_path / str(uuid4())
        kept(spares, path, image)

        assert path.read_bytes() == image
        assert path.stat().st_size == len(image)


def test_a_file_is_not_there_before_it_is_whole(
    spares: Spares, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    seen = written_a_little_at_a_time(path, monkeypatch)
    kept(spares, path, b"eight by")

    assert path.read_bytes() == b"eight by"
    assert seen == [False] * 3


def test_a_missing_folder_is_made(spares: Spares, tmp_path: Path) -> None:
    kept(spares, tmp_path / "a" / "b" / "file", b"content")

    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"content"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_half_way_leaves_nothing_behind(
    number: int, spares: Spares, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(spares, tmp_path / "before", b"content")
    assert one_is_ready(tmp_path)
    really_write = os.write
    tried = []

    def fail(descriptor: int, data: memoryview) -> int:
        tried.append(really_write(descriptor, data[:3]))
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as failing:
        failing.setattr("backend.storage.files.os.write", fail)
        assert spares.write(tmp_path / "file", b"content") is None

    assert tried == [3]
    assert files_below(tmp_path) == [tmp_path / "before"]
    kept(spares, tmp_path / "file", b"content")


def test_a_full_disk_is_told_of_and_used_again_once_there_is_room(small_disk: Path) -> None:
    store = LocalImageStore(small_disk, max_bytes=10_000_000, ttl_s=86_400)
    kept_ids: list[UUID] = []

    def fill() -> None:
        for _ in range(100):
            kept_ids.append(store.put(PNG, "image/png").id)

    try:
        with pytest.raises(StorageFull):
            fill()
        assert all(store.read(kept_id) == PNG for kept_id in kept_ids)

        store.delete(kept_ids.pop())
        assert store.read(store.put(PNG, "image/png").id) == PNG
    finally:
        store.close()
    assert len(files_below(small_disk)) == len(kept_ids) + 1


def test_where_files_cannot_be_named_no_more_are_made(
    spares: Spares, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As without /proc, or where the folder below is another file system's."""
    asked = []

    def refuse(*args: object, **options: object) -> None:
        asked.append(args)
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr("backend.storage.files.os.link", refuse)

    def is_given_up() -> bool:
        assert spares.write(tmp_path / "file", b"content") is None
        return bool(asked) and not unnamed_below(tmp_path)

    assert eventually(is_given_up)
    asked.clear()
    for _ in range(2 * SPARES):
        assert spares.write(tmp_path / "file", b"content") is None

    assert asked == []
    assert files_below(tmp_path) == []


def test_closing_gives_back_what_was_ready(tmp_path: Path) -> None:
    spares = Spares(tmp_path)
    spares.start()
    kept(spares, tmp_path / "file", b"content")
    assert one_is_ready(tmp_path)

    spares.close()

    assert unnamed_below(tmp_path) == set()


def test_a_store_writes_its_images_into_spares(store: LocalImageStore, tmp_path: Path) -> None:
    for _ in range(2):  # the first of all may find no folder for spares yet
        store.put(PNG, "image/png")
    assert one_is_ready(tmp_path)
    ready = unnamed_below(tmp_path)

    image = store.put(PNG, "image/png")

    found = store.locate(image.id)
    assert found is not None
    assert found.path.stat().st_ino in ready
    assert store.read(image.id) == PNG


def test_an_image_in_an_old_spare_was_used_when_it_was_kept(tmp_path: Path) -> None:
    """Else it would be the first to be evicted."""
    folders = Folders(tmp_path)
    path = folders.image(uuid4())
    path.parent.mkdir(parents=True)
    path.write_bytes(PNG)
    age(path, created_s=100, used_s=9_000)

    (entry,) = folders.entries()

    assert entry.used_at == entry.created_at
