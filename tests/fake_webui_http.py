"""The fake WebUI's HTTP: keep-alive connections, credentials, and ways to break them."""

from __future__ import annotations

import base64
import contextlib
import socket
import struct
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.fake_webui_faults import Fault
from tests.fake_webui_wire import (
    Answer,
    Crash,
    NoRoute,
    Refusal,
    crash_answer,
    no_route_answer,
    refusal_answer,
)

if TYPE_CHECKING:
    from tests.fake_webui import FakeWebUI, Seen

_TRICKLE_PAUSE_S = 0.1
_NEVER_ANSWERS: dict[Fault | None, float | None] = {Fault.HANG: None, Fault.DROP_AT_WORK: 0.6}
"""Seconds until the connection is reset; None: when the server stops."""
HANDLER_THREADS = 40
"""Where a real WebUI's handlers end: a queued job holds one, and then even GET progress waits."""


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

    def __init__(self, address: tuple[str, int], webui: FakeWebUI) -> None:
        self.webui = webui
        self.slots = threading.BoundedSemaphore(HANDLER_THREADS)
        self._connections: set[socket.socket] = set()
        self._changed = threading.Condition()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.webui.connections += 1
        with self._changed:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self._changed:
            self._connections.discard(request)
            self._changed.notify_all()

    def break_connections(self) -> None:
        """Shut every connection, and wait until its thread has let go of it."""
        with self._changed:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._connections, timeout=5)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server
    poisoned = False

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        webui, url = self.server.webui, urlsplit(self.path)
        fault = None if self.poisoned else webui.take_fault(url.path)
        if self.poisoned or fault == Fault.DROP_BEFORE_READING:
            self._hang_up()
            return
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        seen = webui.began(self.command, url.path, url.query, dict(self.headers), raw)
        answer: Answer | None = None
        try:
            with self.server.slots:
                answer = self._answer(seen, fault)
                webui.wait_while_held(seen.path)
        finally:
            webui.ended(seen, answer.status if answer else None)
        if webui.stopping.is_set() or fault in _NEVER_ANSWERS:
            self._hang_up()
            return
        self._send(answer, fault)
        self.poisoned = fault == Fault.RESET_WHEN_REUSED

    def _answer(self, seen: Seen, fault: Fault | None) -> Answer:
        webui = self.server.webui
        flavour = webui.model.flavour
        if fault in _NEVER_ANSWERS:
            webui.stopping.wait(_NEVER_ANSWERS[fault])
            return Answer(0, b"")
        try:
            if webui.starting or fault == Fault.STARTING:
                raise NoRoute
            if fault == Fault.REDIRECT:
                return Answer(307, b"", {"Location": "http://127.0.0.1:9/elsewhere"})
            self._check_credentials(forbidden=fault == Fault.UNAUTHORIZED)
            return webui.routes.answer(seen.method, seen.path, seen.query, seen.raw, fault)
        except NoRoute as no_route:
            return no_route_answer(no_route, flavour)
        except Refusal as refusal:
            return refusal_answer(refusal, flavour)
        except Crash as crash:
            return crash_answer(crash, flavour)

    def _check_credentials(self, *, forbidden: bool) -> None:
        webui = self.server.webui
        challenge = {} if webui.model.flavour == "a1111" else {"WWW-Authenticate": "Basic"}
        sent = self.headers.get("Authorization")
        if webui.auth is not None and sent is None:
            raise Refusal(401, "Not authenticated", challenge)
        expected = f"Basic {base64.b64encode((webui.auth or '').encode()).decode()}"
        if forbidden or (webui.auth is not None and sent != expected):
            raise Refusal(401, "Incorrect username or password", challenge)

    def _send(self, answer: Answer, fault: Fault | None) -> None:
        headers = {"Content-Type": "application/json"} | dict(answer.headers)
        if fault == Fault.SETS_A_COOKIE:
            headers["Set-Cookie"] = "box=1; Path=/"
        self.send_response(answer.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        half = fault == Fault.DROP_MID_ANSWER
        if fault == Fault.TRICKLE:
            self._trickle(answer.body)
        else:
            self.wfile.write(answer.body[: len(answer.body) // 2] if half else answer.body)
        closes_silently = answer.crashed and self.server.webui.model.flavour == "forge"
        self.close_connection = self.close_connection or half or closes_silently

    def _trickle(self, body: bytes) -> None:
        for index in range(len(body)):
            self.wfile.write(body[index : index + 1])
            if self.server.webui.stopping.wait(_TRICKLE_PAUSE_S):
                break

    def _hang_up(self) -> None:
        """Close with a reset, as a process that died or no longer knows the connection."""
        self.server.webui.hang_ups += 1
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
