"""Where each image and each rendition lies on disk, and what lies there now.

    images/<first two digits of the id>/<id>
    renditions/<first two digits of the id>/<id>/<name>

No name says what kind of picture a file is: its first bytes do. A file was created when it
was last modified, and last used then or when it was last accessed, which we note ourselves: most
mounts do not, or not reliably.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from uuid import UUID

from backend.storage.base import Usage, parse_image_id
from backend.storage.files import TEMPORARY_PREFIX

Kind = Literal["image", "rendition", "temporary"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of ours: of which image, its size, and when it was made and used (Unix time)."""

    path: Path
    kind: Kind
    image_id: UUID | None
    size_bytes: int
    created_at: float
    used_at: float

    @property
    def is_kept(self) -> bool:
        """Whether it is an image or a rendition, and not on its way to be one."""
        return self.kind != "temporary"

    @property
    def usage(self) -> Usage:
        """What it adds to a store's usage."""
        return Usage(int(self.kind == "image"), self.size_bytes)


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders of one store, under `root`. They need not exist yet."""

    root: Path

    @property
    def images(self) -> Path:
        """The one folder above all images."""
        return self.root / "images"

    def image(self, image_id: UUID) -> Path:
        name = str(image_id)
        return self.root.joinpath("images", name[:2], name)

    def renditions(self, image_id: UUID) -> Path:
        name = str(image_id)
        return self.root.joinpath("renditions", name[:2], name)

    def probe(self) -> Path:
        """A file to write in order to see whether files can be written."""
        return self.images / (TEMPORARY_PREFIX + "probe")

    def entries(self) -> Iterator[Entry]:
        """Every file of ours there is; files that are not ours are passed over."""
        for file in _files(self.images, depth=1):
            yield from _entry(file, "image", parse_image_id(file.name))
        for file in _files(self.root / "renditions", depth=2):
            yield from _entry(file, "rendition", parse_image_id(Path(file.path).parent.name))


def _files(folder: Path, depth: int) -> Iterator[os.DirEntry[str]]:
    """The regular files `depth` folders below `folder`; it may change meanwhile."""
    try:
        with os.scandir(folder) as found:
            children = list(found)
    except (FileNotFoundError, NotADirectoryError):
        return
    for child in children:
        if depth and child.is_dir(follow_symlinks=False):
            yield from _files(Path(child.path), depth - 1)
        elif not depth and child.is_file(follow_symlinks=False):
            yield child


def _entry(file: os.DirEntry[str], kind: Kind, image_id: UUID | None) -> Iterator[Entry]:
    if file.name.startswith(TEMPORARY_PREFIX):
        kind = "temporary"
    elif image_id is None:
        return
    try:
        status = file.stat(follow_symlinks=False)
    except FileNotFoundError:
        return
    created_at = status.st_mtime
    used_at = max(created_at, status.st_atime)  # a spare file was made before its image came
    yield Entry(Path(file.path), kind, image_id, status.st_size, created_at, used_at)
