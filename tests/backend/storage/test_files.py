"""Writing files whole, and opening them with no link followed."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from backend.storage.base import StorageError, StorageFull
from backend.storage.files import opened, remove, write_atomically
from tests.backend.storage.samples import files_below, written_a_little_at_a_time


def content(path: Path) -> bytes | None:
    with opened(path) as file:
        return None if file is None else file.read()


def test_a_file_is_written_with_its_folders_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"

    status = write_atomically(path, b"content")

    assert path.read_bytes() == b"content"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (status.st_size, status.st_mtime_ns) == (7, path.stat().st_mtime_ns)
    assert files_below(tmp_path) == [path]


def test_a_file_written_again_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"

    write_atomically(path, b"first")
    write_atomically(path, b"second")

    assert path.read_bytes() == b"second"


def test_a_file_is_not_there_before_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    seen = written_a_little_at_a_time(path, monkeypatch)
    write_atomically(path, b"eight by")

    assert path.read_bytes() == b"eight by"
    assert seen == [False] * 3


@pytest.mark.parametrize(
    ("number", "kind", "word"),
    [
        (errno.ENOSPC, StorageFull, "full"),
        (errno.EDQUOT, StorageFull, "full"),
        (errno.EROFS, StorageError, "EROFS"),
        (errno.EACCES, StorageError, "EACCES"),
        (errno.EIO, StorageError, "EIO"),
        (errno.EFBIG, StorageError, "EFBIG"),
    ],
)
def test_a_disk_that_fails_half_way_leaves_nothing_behind(
    number: int,
    kind: type[StorageError],
    word: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    really_write = os.write
    parts = iter([True, False])

    def write_once(descriptor: int, data: memoryview) -> int:
        if next(parts):
            return really_write(descriptor, data[:3])
        raise OSError(number, os.strerror(number), str(tmp_path))

    monkeypatch.setattr("backend.storage.files.os.write", write_once)
    with pytest.raises(StorageError, match=word) as failed:
        write_atomically(tmp_path / "file", b"content")

    assert type(failed.value) is kind
    assert str(tmp_path) not in str(failed.value)
    assert files_below(tmp_path) == []


def test_an_interrupt_half_way_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(descriptor: int, data: memoryview) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("backend.storage.files.os.write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file", b"content")

    assert files_below(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(StorageError):
        write_atomically(tmp_path / "file" / "below", b"content")


@pytest.mark.parametrize("stumble", [FileExistsError, FileNotFoundError])
def test_a_folder_swept_away_while_it_is_made_is_made_again(
    stumble: type[OSError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_make = Path.mkdir
    swept = iter([True, True, False])

    def make(folder: Path, mode: int = 0o777, **options: bool) -> None:
        if next(swept, False):
            raise stumble
        really_make(folder, mode, **options)

    monkeypatch.setattr(Path, "mkdir", make)
    write_atomically(tmp_path / "a" / "file", b"content")

    assert (tmp_path / "a" / "file").read_bytes() == b"content"


def test_a_disk_that_is_really_full_says_so_and_keeps_what_it_has(small_disk: Path) -> None:
    write_atomically(small_disk / "kept", bytes(40_000))

    with pytest.raises(StorageFull):
        write_atomically(small_disk / "too much", bytes(40_000))

    assert files_below(small_disk) == [small_disk / "kept"]
    write_atomically(small_disk / "small", bytes(4_000))


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"secret")
    (tmp_path / "link").symlink_to(target)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")

    assert content(target) == b"secret"
    for name in ("link", "folder", "fifo", "nothing", "target/below"):
        assert content(tmp_path / name) is None


def test_a_file_that_fails_while_open_is_a_storage_error(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")

    with pytest.raises(StorageError, match="EIO"), opened(path):
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_removing_tells_whether_there_was_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")

    assert remove(path) is True
    assert remove(path) is False
    assert remove(path / "below") is False


def test_what_cannot_be_removed_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        remove(tmp_path)
