"""gunicorn's worker with threads, served by a crew of ours, and waiting a moment for more."""

from __future__ import annotations

import select
import socket
from dataclasses import dataclass
from functools import partial
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from ai.crew import Crew

LINGER_MS = 2
"""A client that asks again within this finds the same thread still there. All others cost an
idle thread so much; the road over gunicorn's loop is two more threads to be woken."""


@dataclass(frozen=True, slots=True)
class _Handled:
    """What gunicorn asks of a future, of a connection that has been served: what is next."""

    next: Any

    def result(self) -> Any:
        return self.next

    def cancelled(self) -> bool:
        return False


class _Threads(Crew):
    """The crew, by the name that gunicorn has for ending it."""

    def shutdown(self, wait: bool) -> None:
        self.stop()


class WebWorker(ThreadWorker):  # type: ignore[misc]
    """Hands each connection to a thread that has rested; keeps it there while requests come."""

    def init_process(self) -> None:
        # A setting is looked up by two calls otherwise, twenty times a request.
        settings = self.cfg.settings.items()
        self.cfg.__dict__.update({name: setting.get() for name, setting in settings})
        super().init_process()

    def get_thread_pool(self) -> _Threads:
        return _Threads("web", self.cfg.threads)

    def enqueue_req(self, conn: Any) -> None:
        self.tpool.do(partial(self._serve, conn))

    def _serve(self, conn: Any) -> None:
        try:
            found = self.handle(conn)
            while found is True and self._asks_again(conn):
                found = self.handle(conn)
        except BaseException:
            self.method_queue.defer(self.finish_request, conn, _Handled(False))
            raise
        self.method_queue.defer(self.finish_request, conn, _Handled(found))

    def _asks_again(self, conn: Any) -> bool:
        """Whether the next request is there, or comes at once; nobody has to wait for that."""
        if not self.alive or not self.tpool.has_spare:
            return False
        return _readable(conn.sock, LINGER_MS)


def _readable(sock: socket.socket, timeout_ms: int) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(timeout_ms))
