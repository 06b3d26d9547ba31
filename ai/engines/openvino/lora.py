"""LoRAs as prompts name them, `<lora:name:weight>`, and the folder they lie in."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from ai.errors import InvalidRequest

MAX_LORAS = 8
MAX_WEIGHT = 4.0
"""Either way; sliders, the LoRAs made to be turned up most, are used up to about this."""

_TAG = re.compile(r"<lora:([^<>]*)>")
_MAX_HEADER_BYTES = 100_000_000
"""The bound the safetensors format sets itself."""
_ITEM_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
_MAX_DIMENSIONS = 4


@dataclass(frozen=True, slots=True, order=True)
class Lora:
    """A file of weights to add to the checkpoint's, and how much of them."""

    path: Path
    weight: float


class LoraFolder:
    """The LoRAs there are: `<name>.safetensors` in one folder, or none at all."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def files(self) -> dict[str, Path]:
        """The files by name, as they lie there now; empty where the folder cannot be read."""
        if self._folder is None:
            return {}
        try:
            found = sorted(self._folder.iterdir())
        except OSError:
            return {}
        return {path.stem: path for path in found if path.suffix == ".safetensors"}

    def choose(self, text: str) -> tuple[Lora, ...]:
        """The LoRAs that the tags in `text` name, in an order of their own.

        Raises InvalidRequest for a tag that makes no sense, a name there is no file for, or
        a file that cannot be used.
        """
        tags = _TAG.findall(text)
        if not tags:
            return ()
        if len(tags) > MAX_LORAS:
            raise InvalidRequest("prompt", f"names over {MAX_LORAS} LoRAs")
        files = self.files()
        return tuple(sorted(_lora(tag, files) for tag in tags))


def without_tags(text: str) -> str:
    """The prompt with its LoRA tags taken out, which mean nothing to a text encoder."""
    return _TAG.sub("", text) if "<lora:" in text else text


def _lora(tag: str, files: dict[str, Path]) -> Lora:
    name, _, weight_text = tag.partition(":")
    try:
        weight = float(weight_text or "1")
    except ValueError:
        weight = math.nan
    if not abs(weight) <= MAX_WEIGHT:
        raise InvalidRequest(
            "prompt",
            f"write a LoRA as <lora:name:weight>, its weight from -{MAX_WEIGHT:g} to "
            f"{MAX_WEIGHT:g}, not {f'<lora:{tag}>'!r}",
        )
    if name not in files:
        available = ", ".join(files) or "none"
        raise InvalidRequest("prompt", f"no LoRA {name!r} here; available: {available}")
    try:
        _check_safetensors(files[name])
    except (OSError, ValueError) as error:
        raise InvalidRequest("prompt", f"LoRA {name!r} is not a usable file here") from error
    return Lora(files[name], weight)


def _check_safetensors(path: Path) -> None:
    """Raise ValueError for a broken file: the library's own reader dies of some."""
    size = path.stat().st_size
    with path.open("rb") as file:
        header_size = int.from_bytes(file.read(8), "little")
        if not 2 <= header_size <= min(_MAX_HEADER_BYTES, size - 8):
            raise ValueError("its header does not fit")
        header = orjson.loads(file.read(header_size))
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    header.pop("__metadata__", None)
    if not header:
        raise ValueError("it holds no tensor")
    for tensor in header.values():
        _check_tensor(tensor, size - 8 - header_size)


def _check_tensor(tensor: object, data_size: int) -> None:
    if not isinstance(tensor, dict):
        raise ValueError("a tensor that is no JSON object")
    shape = list(_whole_numbers(tensor.get("shape")))
    offsets = list(_whole_numbers(tensor.get("data_offsets")))
    item_bytes = _ITEM_BYTES.get(str(tensor.get("dtype")))
    fits = (
        item_bytes is not None
        and len(shape) <= _MAX_DIMENSIONS
        and len(offsets) == 2
        and offsets[1] <= data_size
        and offsets[1] - offsets[0] == math.prod(shape) * item_bytes
    )
    if not fits:
        raise ValueError("a tensor that does not fit its file, or of a kind not read")


def _whole_numbers(values: object) -> Iterator[int]:
    if not isinstance(values, list):
        raise ValueError("not a list of sizes")
    for value in values:
        if not isinstance(value, int) or value < 0:
            raise ValueError("a size that makes no sense")
        yield value
