"""A generation as OpenAI's stream of events: previews while it runs, then its pictures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic

import pybase64

from ai.errors import InvalidRequest
from ai.images import sniff
from backend.api.events import COMMENT_EVERY_S, LOOK_S
from backend.compat.openai.answers import NO_TOKENS, Answers, size_of
from backend.compat.openai.problems import error_of
from backend.errors import problem_of
from backend.generate import ImageGenerator
from backend.jobs.records import Snapshot
from backend.jobs.runners import Opened
from backend.json_answers import Base64, json_pieces
from backend.storage.base import StorageError

COMMENT = b": still here\n\n"


@dataclass(slots=True, kw_only=True)
class Stream(Generic[Opened]):
    """What is told of `live`: up to `partial_images` previews and its end, as `name`.<event>."""

    name: str
    live: Opened
    answers: Answers
    partial_images: int
    generator: ImageGenerator[Opened]
    goes_on: bool = False

    def events(self, left: Callable[[], bool]) -> Iterator[bytes]:
        """Until it is over or the watcher has `left`, who is sent a comment now and then.

        The first comes at once, since the answer's headers leave with it.
        """
        yield COMMENT
        shown, spoke_at = 0, time.monotonic()
        deadline = spoke_at + self.generator.deadline_s
        while not self.live.over.wait(LOOK_S):
            if left():
                return
            if time.monotonic() > deadline:
                self.goes_on = True
                yield _failed(self.generator.give_up(self.live))
                return
            event = self._partial(shown) if shown < self.partial_images else None
            shown += event is not None
            if event is not None or time.monotonic() - spoke_at >= COMMENT_EVERY_S:
                spoke_at = time.monotonic()
                yield event or COMMENT
        yield from self._end()

    def close(self) -> None:
        """The connection ended: nobody waits, unless the job was told to go on alone."""
        if not self.live.over.is_set() and not self.goes_on:
            self.generator.runner.cancel(self.live)

    def _partial(self, shown: int) -> bytes | None:
        """The next preview, once that much is done that they come evenly spread."""
        now = self.live.snapshot(preview=True)
        if not now.preview or now.fraction * (self.partial_images + 1) < shown + 1:
            return None
        return _event(f"{self.name}.partial_image", self._preview(now, now.preview, shown))

    def _preview(self, now: Snapshot, preview: bytes, index: int) -> dict[str, Any]:
        """In the format the engine drew it: a preview is not worth another encoding."""
        asked = self.live.request
        return {
            "b64_json": Base64(pybase64.b64encode(preview)),
            "partial_image_index": index,
            "size": f"{asked.width}x{asked.height}",
            **self.answers.about(),
            "output_format": (sniff(preview) or "image/jpeg").removeprefix("image/"),
        }

    def _end(self) -> Iterator[bytes]:
        try:
            result = self.live.end()
        except Exception as error:
            yield _failed(error)
            return
        for made in result.images:
            try:
                picture = self.answers.base64(made)
            except (InvalidRequest, StorageError) as error:
                yield _failed(error)
                return
            about = {"b64_json": picture, "size": size_of(made), **self.answers.about()}
            yield _event(f"{self.name}.completed", about | {"usage": NO_TOKENS})


def _event(name: str, body: dict[str, Any]) -> bytes:
    told = {"type": name, "created_at": int(time.time()), **body}
    return b"".join([f"event: {name}\ndata: ".encode(), *json_pieces(told), b"\n\n"])


def _failed(error: Exception) -> bytes:
    return _event("error", {"error": error_of(problem_of(error))})
