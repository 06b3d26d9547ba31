"""HTTP to one WebUI: a pooled session, bounded answers, every failure an EngineError."""

from __future__ import annotations

import http.client
import ssl
import time
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import SplitResult, unquote, urlsplit

import requests
from requests.auth import HTTPBasicAuth
from requests.cookies import RequestsCookieJar
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NewConnectionError,
    ReadTimeoutError,
)

from ai.correlation import current
from ai.engines.a1111.connection import HungUpBefore, KeptConnections
from ai.engines.a1111.plain_http import PlainRequest
from ai.errors import EngineLost, EngineTimeout, EngineUnavailable, WrongResult

_API = "/sdapi/v1/"
_PROBES = 4
"""Connections for health, progress and interrupts, beside those that generate."""
_PIECE_BYTES = 1024 * 1024
_MAX_LIST_BYTES = 16 * 2**20
_MIN_TIMEOUT_S = 0.001
_HEADERS = {
    "Accept": "application/json",
    # Packing makes a picture no smaller, and costs more than the wire.
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
    "User-Agent": "sluice",
}
_NO_COOKIES = RequestsCookieJar(DefaultCookiePolicy(allowed_domains=[]))


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, whatever its status."""

    status: int
    body: bytes = field(repr=False)


class WebUIClient:
    """Sends to the WebUI at `url`: http or https, a path prefix and user:password@ allowed.

    Redirects are not followed, the environment's proxies not used, cookies not kept. Answers
    over `max_answer_bytes` to a POST, or 16 MiB to a GET, are a WrongResult. `engine` is who
    errors name. Raises ValueError for a URL of another kind; its message does not hold it.
    """

    def __init__(
        self,
        engine: str,
        url: str,
        *,
        concurrency: int,
        connect_timeout_s: float,
        max_answer_bytes: int,
    ) -> None:
        parts = _split(url)
        self._engine = engine
        self._root = _without_credentials(parts)
        self._connect_timeout_s = connect_timeout_s
        self._max_answer_bytes = max_answer_bytes
        self._connections = KeptConnections(concurrency + _PROBES)
        self._session = _session(parts, self._connections)
        self._requests: dict[tuple[str, str], PlainRequest] = {}

    def get(self, path: str, *, timeout_s: float) -> Reply:
        """`path` is below /sdapi/v1/, or with a slash before it beside that.

        Raises EngineUnavailable when no answer comes, or WrongResult.
        """
        try:
            return self._send_twice_if_unread("GET", path, None, timeout_s)
        except (EngineLost, EngineTimeout) as error:
            raise EngineUnavailable(self._engine, f"{self._engine} does not answer") from error

    def post(self, path: str, body: bytes | None, *, timeout_s: float) -> Reply:
        """`body` is JSON. Raises EngineUnavailable, EngineLost, EngineTimeout or WrongResult."""
        return self._send_twice_if_unread("POST", path, body, timeout_s)

    def close(self) -> None:
        self._session.close()

    def _send_twice_if_unread(
        self, method: str, path: str, body: bytes | None, timeout_s: float
    ) -> Reply:
        """Again, on a fresh connection, only if the first time it was certainly not read."""
        deadline = time.monotonic() + timeout_s
        try:
            return self._send(method, path, body, deadline)
        except HungUpBefore:
            self._connections.close()
        return self._send(method, path, body, deadline)

    def _send(self, method: str, path: str, body: bytes | None, deadline: float) -> Reply:
        timeout_s = max(deadline - time.monotonic(), _MIN_TIMEOUT_S)
        max_bytes = _MAX_LIST_BYTES if method == "GET" else self._max_answer_bytes
        try:
            response = self._session.send(
                self._prepared(method, path, body),
                timeout=(min(self._connect_timeout_s, timeout_s), timeout_s),
                allow_redirects=False,
                stream=True,
                proxies={},
            )
            with response:
                return Reply(response.status_code, self._read(response, max_bytes))
        except (OSError, HTTPError, http.client.HTTPException) as error:
            raise self._named(_innermost(error)) from error

    def _prepared(self, method: str, path: str, body: bytes | None) -> PlainRequest:
        """Prepared once for each path, for that costs a third of sending; plain headers another."""
        kept = self._requests.get((method, path))
        if kept is None:
            beside = path.startswith("/")
            asked = requests.Request(method, self._root + ("" if beside else _API) + path)
            kept = PlainRequest.of(self._session.prepare_request(asked))
            self._requests[method, path] = kept
        return kept.with_body(body, current().headers)

    def _read(self, response: requests.Response, max_bytes: int) -> bytes:
        """The whole body: in one piece where its length is announced, which is far quicker."""
        length = response.raw.length_remaining
        if length is not None and "Content-Encoding" not in response.headers:
            self._require_at_most(max_bytes, length)
            body = response.raw.read(length, decode_content=False)
            if len(body) < length:
                raise http.client.IncompleteRead(body)
            return body
        pieces: list[bytes] = []
        size = 0
        while piece := response.raw.read1(_PIECE_BYTES, decode_content=True):
            pieces.append(piece)
            size += len(piece)
            self._require_at_most(max_bytes, size)
        return b"".join(pieces)

    def _require_at_most(self, max_bytes: int, size: int) -> None:
        if size > max_bytes:
            raise WrongResult(self._engine, f"{self._engine} answered with too many bytes")

    def _named(self, cause: BaseException) -> Exception:
        """A failure of the transport as what it means; HungUpBefore stays itself."""
        name = self._engine
        match cause:
            case HungUpBefore():
                return cause
            case NewConnectionError() | ConnectTimeoutError() | ssl.SSLCertVerificationError():
                return EngineUnavailable(name, f"{name} cannot be reached")
            case ReadTimeoutError() | TimeoutError():
                return EngineTimeout(name, f"{name} did not answer in time")
            case _:
                return EngineLost(name, f"the connection to {name} broke before it had answered")


def _innermost(error: BaseException) -> BaseException:
    """What requests and urllib3 wrapped. Not by __context__, which is the caller's too."""
    while True:
        wrapped = (error.reason,) if isinstance(error, MaxRetryError) else error.args
        inner = [cause for cause in wrapped if isinstance(cause, BaseException)]
        if not inner:
            return error
        error = inner[0]


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url.strip())
        is_usable = parts.port != 0 and bool(parts.hostname and parts.hostname.encode("idna"))
    except ValueError:
        raise ValueError("a WebUI's address is not a URL") from None
    if parts.scheme not in ("http", "https") or not is_usable:
        raise ValueError("a WebUI's address must be http://host or https://host")
    if parts.query or parts.fragment:
        raise ValueError("a WebUI's address must have no ? or #")
    return parts


def _without_credentials(parts: SplitResult) -> str:
    host_and_port = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host_and_port}{parts.path.rstrip('/')}"


def _session(parts: SplitResult, connections: KeptConnections) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.cookies = _NO_COOKIES
    session.headers.clear()
    session.headers.update(_HEADERS)
    session.mount("http://", connections)
    session.mount("https://", connections)
    if parts.username is not None or parts.password is not None:
        user, password = (unquote(part or "").encode() for part in (parts.username, parts.password))
        session.auth = HTTPBasicAuth(user, password)
    return session
