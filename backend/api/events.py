"""A job's events as server-sent events: where it stands, each time that changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pybase64

from backend.errors import TooManyWaiting, TooManyWatchers
from backend.jobs.records import Snapshot
from backend.jobs.runners import OpenJob
from backend.seats import Seats

LOOK_S = 0.5
COMMENT_EVERY_S = 15.0
"""Proxies drop a connection that says nothing for a minute, some sooner."""
RECONNECT = b"retry: 2000\n\n"
"""Milliseconds until a watcher who was cut off comes back."""


def stream(
    live: OpenJob,
    *,
    preview: bool,
    seen: str | None,
    left: Callable[[], bool] = lambda: False,
    comment_every_s: float = COMMENT_EVERY_S,
) -> Iterator[bytes]:
    """Events until `live` is over or the watcher has `left`, a comment where there is no news.

    An event's id names the state it tells of, so `seen` (Last-Event-ID) leaves out just the
    one the watcher already has, in whichever process it was told.
    """
    spoke_at = time.monotonic()
    while not live.over.is_set() and not left():
        snapshot = live.snapshot(preview=preview)
        event_id = _id(snapshot)
        if event_id != seen:
            seen, spoke_at = event_id, time.monotonic()
            yield event(snapshot.status, event_id, _body(live, snapshot))
        elif time.monotonic() - spoke_at >= comment_every_s:
            spoke_at = time.monotonic()
            yield b": still here\n\n"
        live.over.wait(LOOK_S)


class Watchers:
    """Counts those who watch, each of whom holds a seat, and refuses more than `limit`."""

    def __init__(self, limit: int, seats: Seats) -> None:
        self._limit = limit
        self._seats = seats
        self._lock = threading.Lock()
        self.count = 0

    def counted(self, told: Iterator[bytes]) -> Iterator[bytes]:
        """`told`, counted from now until its end. Raises TooManyWatchers."""
        with self._lock:
            if self.count >= self._limit:
                raise TooManyWatchers(f"{self._limit} watch jobs already; poll the job instead.")
            try:
                self._seats.take()
            except TooManyWaiting:
                raise TooManyWatchers("Too many wait already; poll the job instead.") from None
            self.count += 1
        return _Counted(told, self._left)

    def _left(self) -> None:
        with self._lock:
            self.count -= 1
            self._seats.give_back()


class _Counted(Iterator[bytes]):
    """A server closes what it sends when the watcher goes away, even before the first event."""

    def __init__(self, told: Iterator[bytes], left: Callable[[], None]) -> None:
        self._told = told
        self._left: Callable[[], None] | None = left

    def __next__(self) -> bytes:
        return next(self._told)

    def close(self) -> None:
        left, self._left = self._left, None
        if left is not None:
            left()


def event(name: str, event_id: str, body: dict[str, Any]) -> bytes:
    """One event, its data on one line."""
    head = f"event: {name}\nid: {event_id}\ndata: "
    return head.encode() + orjson.dumps(body) + b"\n\n"


def _id(snapshot: Snapshot) -> str:
    if snapshot.status == "queued":
        return f"queued-{snapshot.position}"
    return f"processing-{snapshot.step}-{snapshot.fraction:.3f}"


def _body(live: OpenJob, snapshot: Snapshot) -> dict[str, Any]:
    body: dict[str, Any] = {"job_id": str(live.id), "status": snapshot.status}
    if snapshot.status == "queued":
        return body | {"position": snapshot.position, "eta_s": snapshot.eta_s}
    body |= {
        "progress": round(snapshot.fraction, 4),
        "step": snapshot.step,
        "steps": snapshot.steps,
        "eta_s": snapshot.eta_s,
    }
    if snapshot.preview:
        body["preview"] = "data:image/jpeg;base64," + pybase64.b64encode(snapshot.preview).decode()
    return body
