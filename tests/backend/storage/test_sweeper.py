"""Sweeping real folders."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from backend.storage.base import StorageError, Usage
from backend.storage.files import TEMPORARY_PREFIX, write_atomically
from backend.storage.folders import Folders
from backend.storage.sweeper import Sweeper
from backend.storage.tally import Tally
from tests.backend.storage.samples import DEADLINE_S, age, eventually, files_below


class Room:
    """A folder with a sweeper; files are put by hand."""

    def __init__(
        self,
        root: Path,
        *,
        max_bytes: int = 1_000,
        protected: Callable[[], set[UUID]] | None = None,
    ) -> None:
        self.folders = Folders(root)
        self.tally = Tally()
        self.sweeper = Sweeper(
            self.folders, self.tally, max_bytes=max_bytes, ttl_s=86_400, protected=protected
        )

    def put(self, *, size: int = 100, created_s: float = 1_000, used_s: float = 500) -> UUID:
        image_id = uuid4()
        path = self.folders.image(image_id)
        self.write(path, size, created_s, used_s)
        self.tally.put(path, Usage(1, size))
        return image_id

    def put_rendition(self, image_id: UUID, *, size: int = 10, used_s: float = 500) -> Path:
        path = self.folders.renditions(image_id) / "16.png"
        self.write(path, size, 1_000, used_s)
        self.tally.put(path, Usage(0, size))
        return path

    def write(self, path: Path, size: int, created_s: float, used_s: float) -> None:
        write_atomically(path, bytes(size))
        age(path, created_s=created_s, used_s=used_s)

    def holds(self, image_id: UUID) -> bool:
        return self.folders.image(image_id).exists()

    @contextmanager
    def running(self) -> Iterator[None]:
        self.sweeper.start()
        try:
            yield
        finally:
            self.sweeper.close()


def test_a_folder_that_is_not_there_yet_is_swept_in_peace(tmp_path: Path) -> None:
    room = Room(tmp_path / "none")

    room.sweeper.sweep()

    assert room.tally.usage() == Usage(0, 0)
    assert not (tmp_path / "none").exists()


def test_the_least_recently_used_image_goes_with_its_renditions(tmp_path: Path) -> None:
    room = Room(tmp_path)
    unused = room.put(size=600, used_s=900)
    rendition = room.put_rendition(unused)
    used = room.put(size=600, used_s=100)

    room.sweeper.sweep()

    assert not room.holds(unused)
    assert room.holds(used)
    assert not rendition.parent.exists()
    assert room.tally.usage() == Usage(1, 600)


def test_an_image_past_its_age_goes(tmp_path: Path) -> None:
    room = Room(tmp_path)
    old, young = room.put(created_s=90_000), room.put()

    room.sweeper.sweep()

    assert (room.holds(old), room.holds(young)) == (False, True)


def test_protected_images_stay(tmp_path: Path) -> None:
    kept: set[UUID] = set()
    room = Room(tmp_path, protected=lambda: kept)
    kept.add(room.put(created_s=90_000))

    room.sweeper.sweep()

    assert room.holds(kept.pop())


def test_leftovers_of_a_crash_go_and_files_of_others_stay(tmp_path: Path) -> None:
    room = Room(tmp_path)
    folder = tmp_path / "images" / "ab"
    leftover, foreign = folder / (TEMPORARY_PREFIX + "x"), folder / "notes.txt"
    for path in (leftover, foreign):
        room.write(path, 10, 1e6, 1e6)
    (folder / str(uuid4())).symlink_to(foreign)
    writing = folder / (TEMPORARY_PREFIX + "y")
    writing.write_bytes(b"half")

    room.sweeper.sweep()

    assert not leftover.exists()
    assert writing.exists()
    assert len(files_below(folder)) == 3


def test_a_sweep_counts_anew_what_there_is(tmp_path: Path) -> None:
    room = Room(tmp_path)
    image_id = room.put(size=50)
    room.put_rendition(image_id, size=7)
    room.tally.put(tmp_path / "of another process", Usage(40, 4_000))

    room.sweeper.sweep()

    assert room.tally.usage() == Usage(1, 57)


def test_what_changes_during_a_sweep_is_still_counted(tmp_path: Path) -> None:
    def change() -> set[UUID]:
        room.put(size=9)
        path = room.folders.image(removed)
        path.unlink()
        room.tally.removed(path)
        return set()

    room = Room(tmp_path, protected=change)
    removed = room.put(size=50)
    room.put(size=300)

    room.sweeper.sweep()

    assert room.tally.usage() == Usage(2, 309)


def test_a_file_still_being_written_is_not_counted(tmp_path: Path) -> None:
    room = Room(tmp_path)
    image = room.folders.image(room.put(size=50))
    (image.parent / (TEMPORARY_PREFIX + "x")).write_bytes(bytes(70))

    room.sweeper.sweep()

    assert room.tally.usage() == Usage(1, 50)


def test_a_file_swept_up_before_its_writer_counts_it_is_counted_once(tmp_path: Path) -> None:
    room = Room(tmp_path)
    path = room.folders.image(uuid4())
    room.write(path, 50, 0, 0)

    room.sweeper.sweep()
    room.tally.put(path, Usage(1, 50))

    assert room.tally.usage() == Usage(1, 50)


def test_a_file_swept_past_before_its_remover_counts_it_off_is_counted_off_once(
    tmp_path: Path,
) -> None:
    room = Room(tmp_path)
    gone, kept = room.put(size=50), room.put(size=70)
    path = room.folders.image(gone)
    path.unlink()

    room.sweeper.sweep()
    room.tally.removed(path)

    assert room.holds(kept)
    assert room.tally.usage() == Usage(1, 70)


def test_a_file_that_cannot_be_removed_stays_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise StorageError("no")

    room = Room(tmp_path)
    room.put(created_s=90_000)
    monkeypatch.setattr("backend.storage.sweeper.remove", refuse)

    room.sweeper.sweep()

    assert room.tally.usage() == Usage(1, 100)


def test_the_thread_sweeps_at_the_start_and_again_when_the_bound_is_passed(
    tmp_path: Path,
) -> None:
    room = Room(tmp_path)
    old = room.put(created_s=90_000)

    with room.running():
        assert eventually(lambda: not room.holds(old))
        images = [room.put(size=300, used_s=900 - n) for n in range(4)]
        room.sweeper.look()
        assert eventually(lambda: not room.holds(images[0]))
        assert all(room.holds(image_id) for image_id in images[1:])


def test_what_was_put_after_a_sweep_had_looked_wakes_the_next_one(tmp_path: Path) -> None:
    images: list[UUID] = []
    wanted = 0
    looked = threading.Event()

    def put_some() -> set[UUID]:
        images.extend(room.put(size=300, used_s=900 - n) for n in range(wanted))
        looked.set()
        return set()

    room = Room(tmp_path, protected=put_some)
    with room.running():
        assert looked.wait(DEADLINE_S)
        wanted = 4
        room.sweeper.sweep()
        wanted = 0
        first, *_ = images
        room.sweeper.look()
        assert eventually(lambda: not room.holds(first))


def test_the_thread_outlives_a_failing_sweep(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    answers: list[set[UUID]] = []

    def fail_first() -> set[UUID]:
        answers.append(set())
        if len(answers) == 1:
            raise RuntimeError("jobs are not up yet")
        return set()

    room = Room(tmp_path, protected=fail_first)
    with room.running():
        assert eventually(lambda: "sweep failed" in caplog.messages)
        unused = room.put(size=600, used_s=900)
        room.put(size=600)
        room.sweeper.look()
        assert eventually(lambda: not room.holds(unused))


def test_nothing_is_swept_while_what_is_protected_is_unknown(tmp_path: Path) -> None:
    def fail() -> set[UUID]:
        raise RuntimeError("no answer")

    room = Room(tmp_path, protected=fail)
    old = room.put(created_s=90_000)

    with pytest.raises(RuntimeError, match="no answer"):
        room.sweeper.sweep()

    assert room.holds(old)
