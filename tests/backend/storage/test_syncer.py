"""Syncing off the road of the answer."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.storage.files import sync_file_system
from backend.storage.syncer import Syncer

SYNC = "backend.storage.syncer.sync_file_system"


def started(root: Path, sync: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch) -> Syncer:
    monkeypatch.setattr(SYNC, sync)
    syncer = Syncer(root)
    syncer.start()
    return syncer


def test_what_was_written_is_synced_before_the_syncer_closes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    syncer = started(tmp_path, synced.append, monkeypatch)

    syncer.sync_later()
    syncer.close()

    assert synced == [tmp_path]


def test_a_file_system_is_really_synced(tmp_path: Path) -> None:
    sync_file_system(tmp_path)
    with pytest.raises(FileNotFoundError):
        sync_file_system(tmp_path / "gone")


def test_what_the_system_refuses_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.storage.files.os.open", lambda *_: -1)
    monkeypatch.setattr("backend.storage.files.os.close", lambda _: None)
    with pytest.raises(OSError, match="Bad file descriptor"):
        sync_file_system(tmp_path)


def test_a_stuck_disk_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck, unstuck = threading.Event(), threading.Event()
    rounds: list[Path] = []

    def sync(root: Path) -> None:
        rounds.append(root)
        stuck.set()
        unstuck.wait()

    syncer = started(tmp_path, sync, monkeypatch)
    syncer.sync_later()
    stuck.wait()
    for _ in range(2_000):
        syncer.sync_later()
    unstuck.set()
    syncer.close()

    assert len(rounds) == 2


def test_a_file_system_that_cannot_be_synced_is_logged_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failed, synced = threading.Event(), threading.Event()

    def fail_once(_root: Path) -> None:
        if not failed.is_set():
            failed.set()
            raise OSError(errno.EIO, "no")
        synced.set()

    syncer = started(tmp_path, fail_once, monkeypatch)
    syncer.sync_later()
    failed.wait()
    syncer.sync_later()
    syncer.close()

    assert synced.is_set()
    assert "images not synced" in caplog.messages
