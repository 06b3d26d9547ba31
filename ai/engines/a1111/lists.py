"""The lists a WebUI answers beside what routing needs: bounded, and every path taken out."""

from __future__ import annotations

import ntpath
import posixpath
import re
from typing import Any

_MAX_ITEMS = 2000
_MAX_TEXT_CHARS = 300
_MAX_DEPTH = 4
_PATH_KEYS = frozenset({"filename", "path", "config", "cmd_dir", "metadata", "model_url"})
"""Where a WebUI puts paths of its disk, and a LoRA's whole training record."""
_LOOKS_LIKE_A_PATH = re.compile(r"^(/|~|\\|[A-Za-z]:[\\/]|[a-z]+://)")


def cleaned(value: Any, depth: int = 0) -> Any:
    """`value` of a parsed answer, its `filename`s bare names; None for what is not shown."""
    if isinstance(value, dict) and depth < _MAX_DEPTH:
        return {
            _text(key): _member(key, member, depth)
            for key, member in list(value.items())[:_MAX_ITEMS]
            if _text(key) is not None
        }
    if isinstance(value, list) and depth < _MAX_DEPTH:
        return [cleaned(item, depth + 1) for item in value[:_MAX_ITEMS]]
    if isinstance(value, str):
        return _text(value)
    return value if isinstance(value, bool | int | float) else None


def _member(key: str, value: Any, depth: int) -> Any:
    if key == "filename" and isinstance(value, str):
        return _text(bare_name(value))
    if key in _PATH_KEYS or key.endswith("_path"):
        return None
    return cleaned(value, depth + 1)


def bare_name(path: str) -> str:
    """The last part of a path, of whichever system."""
    return posixpath.basename(ntpath.basename(path))


def _text(text: str) -> str | None:
    is_shown = len(text) <= _MAX_TEXT_CHARS and text.isprintable()
    return text if is_shown and not _LOOKS_LIKE_A_PATH.search(text) else None
