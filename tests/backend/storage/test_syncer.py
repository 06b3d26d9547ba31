"""Syncing off the road of the answer."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.storage.syncer import Syncer

SYNC = "backend.storage.syncer.sync"


def started(sync: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch) -> Syncer:
    monkeypatch.setattr(SYNC, sync)
    syncer = Syncer()
    syncer.start()
    return syncer


def test_a_file_and_its_folder_are_synced_before_the_syncer_closes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    syncer = started(synced.append, monkeypatch)

    syncer.sync_later(tmp_path / "file")
    syncer.close()

    assert synced == [tmp_path / "file", tmp_path]


def test_files_are_really_synced(tmp_path: Path) -> None:
    syncer = Syncer()
    syncer.start()
    (tmp_path / "file").write_bytes(b"content")

    syncer.sync_later(tmp_path / "file")
    syncer.sync_later(tmp_path / "gone")
    syncer.close()

    assert (tmp_path / "file").read_bytes() == b"content"


def test_a_stuck_disk_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    unstuck = threading.Event()
    synced: list[Path] = []

    def stuck(path: Path) -> None:
        unstuck.wait()
        synced.append(path)

    syncer = started(stuck, monkeypatch)
    for number in range(2_000):
        syncer.sync_later(Path(str(number)))
    unstuck.set()
    syncer.close()

    assert 0 < len(synced) < 2_000


def test_a_file_that_cannot_be_synced_is_logged_and_the_next_is_synced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    synced: list[Path] = []

    def fail_once(path: Path) -> None:
        if path == Path("bad"):
            raise OSError(errno.EIO, "no")
        synced.append(path)

    syncer = started(fail_once, monkeypatch)
    for name in ("bad", "good"):
        syncer.sync_later(Path(name))
    syncer.close()

    assert Path("good") in synced
    assert "image not synced" in caplog.messages
