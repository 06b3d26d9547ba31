"""Single files: written whole or not at all, opened without following links."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

from backend.storage.base import StorageError, StorageFull

TEMPORARY_PREFIX = ".writing-"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_FOLDER_TRIES = 10
_LIBC = ctypes.CDLL(None, use_errno=True)
"""For syncfs(2), which Python does not offer."""

Made = TypeVar("Made")


def write_atomically(path: Path, data: bytes) -> os.stat_result:
    """Write `data` to `path`, where nobody sees it before it is all there.

    Readable by its owner only; missing folders are made. Not synced to disk. Raises
    StorageFull or StorageError, and leaves nothing behind then.
    """
    target = str(path)
    temporary = target.removesuffix(path.name) + TEMPORARY_PREFIX + os.urandom(16).hex()
    try:
        status = _write_beside(path, temporary, data)
        os.replace(temporary, target)  # noqa: PTH105 - a Path takes longer than the call
    except BaseException as error:
        with suppress(OSError):
            Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise storage_error(error) from error
        raise
    return status


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO | None]:
    """The regular file at `path`, open for reading; None for anything else or nothing.

    Raises StorageError when it cannot be read, also for what goes wrong while it is open.
    """
    try:
        descriptor = os.open(path, _READ)
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise storage_error(error) from error
        yield None
        return
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        yield None
        return
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        try:
            yield file
        except OSError as error:
            raise storage_error(error) from error


def remove(path: Path) -> bool:
    """Remove a file; whether it was there. Raises StorageError when it cannot be removed."""
    try:
        path.unlink()
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise storage_error(error) from error
        return False
    return True


def sync_file_system(folder: Path) -> None:
    """Have all that was written to the file system of `folder` reach the disk. Raises OSError."""
    descriptor = os.open(folder, _READ)
    try:
        if _LIBC.syncfs(descriptor):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
    finally:
        os.close(descriptor)


def storage_error(error: OSError) -> StorageError:
    """What a caller is told of `error`."""
    if error.errno in NO_ROOM:
        return StorageFull("The disk that keeps the images is full.")
    name = errno.errorcode.get(error.errno or 0, "unknown")
    return StorageError(f"The folder that keeps the images cannot be used ({name}).")


def write_all(descriptor: int, data: bytes) -> None:
    """Write `data`, in more than one piece where the system takes less. Raises OSError."""
    unwritten = memoryview(data)
    while unwritten:
        unwritten = unwritten[os.write(descriptor, unwritten) :]


def name_file(descriptor: int, path: Path) -> None:
    """Let an open file that has no name be `path`, where nothing is; missing folders are made.

    Raises OSError, FileNotFoundError also where there is no /proc.
    """
    # Python follows the link that this is only where a folder is given beside it.
    opened_as = f"/proc/self/fd/{descriptor}"
    _in_folder(path, lambda: os.link(opened_as, path, src_dir_fd=descriptor))


def _write_beside(path: Path, temporary: str, data: bytes) -> os.stat_result:
    descriptor = _in_folder(path, lambda: os.open(temporary, _CREATE, 0o600))
    try:
        write_all(descriptor, data)
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def _in_folder(path: Path, made: Callable[[], Made]) -> Made:
    """What makes a file in the folder of `path`, which may not be there."""
    for _ in range(_FOLDER_TRIES):
        try:
            return made()
        except FileNotFoundError:
            # Empty folders are swept away, perhaps just now: hence more than one try, and mkdir
            # may find a folder that is none a moment later.
            with suppress(FileExistsError, FileNotFoundError):
                path.parent.mkdir(parents=True, exist_ok=True)
    return made()
