"""What nginx does by itself: TLS, redirects, limits against floods, errors in the gateway's shape.

No gateway stands behind it, or one that only listens.
"""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pytest
import requests

from tests.deploy.front import Front, folder_for_the_group, running_front
from tests.running import API, free_port, wait_until

FLOOD = 1000
BURST = 200
CONNECTIONS = 100
LIMIT_BYTES = 45_001_386
IMAGE_ID = "2f27f149-8d5f-4cb6-840f-882939b1a62c"
IMAGE = f"{API}/image/{IMAGE_ID}"
UPLOAD = f"POST {API}/img2img HTTP/1.1\r\nHost: sluice\r\n"
PROBLEM_KEYS = {"type", "title", "status", "detail", "error", "code", "request_id"}


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with running_front([free_port()], tmp_path_factory.mktemp("data")) as front:
        yield front


@contextmanager
def deaf_gateway() -> Iterator[int]:
    """The port of one that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@contextmanager
def canned_gateway(headers: str) -> Iterator[int]:
    """The port of one that answers once, with nothing but `headers`."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                answer = f"HTTP/1.1 200 OK\r\n{headers}Content-Length: 0\r\n\r\n"
                connection.sendall(answer.encode())

        answering = threading.Thread(target=answer)
        answering.start()
        yield server.getsockname()[1]
        answering.join()


def problem(answer: requests.Response) -> dict[str, object]:
    """The body, checked to be what the gateway's own would be."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    body: dict[str, object] = answer.json()
    assert body.keys() == PROBLEM_KEYS
    assert body["status"] == answer.status_code
    assert body["type"] == f"urn:sluice:problem:{body['code']}"
    assert body["error"] == body["detail"]
    assert body["request_id"] == answer.headers["X-Request-ID"]
    assert answer.headers["Strict-Transport-Security"] == "max-age=63072000"
    return body


def logged_line(front: Front, request_id: str) -> dict[str, str]:
    """The access log's, of that request."""
    access_log = front.folder / "access.log"
    wait_until(lambda: request_id in access_log.read_text(), "nginx logs the request")
    [line] = [line for line in access_log.read_text().splitlines() if request_id in line]
    fields: dict[str, str] = json.loads(line)
    return fields


def handshake(front: Front, version: ssl.TLSVersion) -> str | None:
    context = ssl.create_default_context(cafile=str(front.certificate))
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", front.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        return secured.version()


def test_tls_is_spoken_from_1_2_on(front: Front) -> None:
    assert handshake(front, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    assert handshake(front, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
def test_older_tls_is_refused(front: Front, version: str) -> None:
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        handshake(front, ssl.TLSVersion[version])


def test_http2_is_spoken(front: Front) -> None:
    asked = ["curl", "-s", "--cacert", str(front.certificate), "-o", "/dev/null", "--http2"]
    told = subprocess.run(
        [*asked, "-w", "%{http_version}", f"{front.url}/metrics"], check=True, capture_output=True
    )
    assert told.stdout == b"2"


def test_http_is_sent_on_to_https_with_its_method(front: Front) -> None:
    url = f"http://127.0.0.1:{front.plain_port}{API}/txt2img?a=b"
    answer = requests.post(url, allow_redirects=False, timeout=10)
    assert answer.status_code == 308
    assert answer.headers["Location"] == f"https://127.0.0.1{API}/txt2img?a=b"


@pytest.mark.parametrize("path", ["/metrics", "/%6detrics", "//metrics", "/docs/../metrics"])
def test_metrics_are_closed_however_they_are_spelled(front: Front, path: str) -> None:
    request = requests.Request("GET", front.url).prepare()
    request.url = front.url + path
    assert problem(front.client().send(request, timeout=10))["code"] == "not_found"


def test_a_gateway_that_is_not_there_is_a_problem(front: Front) -> None:
    answer = front.client().get(f"{front.url}{API}/models", headers={"X-Request-ID": "mine"})
    assert (answer.status_code, problem(answer)["code"]) == (502, "bad_gateway")
    assert answer.json()["request_id"] == "mine"


@pytest.mark.parametrize("hostile", ['"},{"', "a b", "x" * 129, "ä"])
def test_a_request_id_that_is_none_is_replaced(front: Front, hostile: str) -> None:
    headers = {"X-Request-ID": hostile.encode()}
    answer = front.client().get(f"{front.url}/", headers=headers, timeout=10)
    assert len(str(problem(answer)["request_id"])) == 32


@pytest.mark.parametrize(
    ("path", "logged"),
    [
        (IMAGE, f"{API}/image/<id>"),
        (IMAGE.upper(), f"{API.upper()}/IMAGE/<id>"),
        (f"/{IMAGE}", f"{API}/image/<id>"),
        (IMAGE.replace("-", "%2D"), f"{API}/image/<id>"),
        (f"{API}/image/{IMAGE_ID.replace('-', '')}/more", f"{API}/image/<id>"),
        (f"{API}/image/{IMAGE_ID[:-1]}", f"{API}/image/<id>"),
        (f"{API}/images/{IMAGE_ID}", f"{API}/images/<id>"),
        (f"{API}/jobs/{IMAGE_ID}/events", f"{API}/jobs/<id>/events"),
        (f"{API}/image/{IMAGE_ID}/{IMAGE_ID}", f"{API}/image/<id>"),
        (f"{API}/models", f"{API}/models"),
    ],
)
@pytest.mark.parametrize("secured", [True, False], ids=["https", "http"])
def test_the_access_log_has_routes_and_no_ids(
    front: Front, path: str, logged: str, secured: bool
) -> None:
    request_id = uuid4().hex
    request = requests.Request("GET", front.url, headers={"X-Request-ID": request_id}).prepare()
    request.url = (front.url if secured else f"http://127.0.0.1:{front.plain_port}") + path
    front.client().send(request, timeout=10, allow_redirects=False)
    assert logged_line(front, request_id)["path"] == logged


def test_what_fails_of_an_image_is_logged_without_its_id(tmp_path: Path) -> None:
    with running_front([free_port()], tmp_path) as front:
        errors = front.folder / "error.log"
        for path in (IMAGE, f"{API}/models"):
            assert front.client().get(front.url + path, timeout=10).status_code == 502
        wait_until(lambda: f"GET {API}/models" in errors.read_text(), "the failure is logged")
        assert IMAGE_ID not in errors.read_text()


def test_a_gateway_that_says_nothing_is_a_problem(tmp_path: Path) -> None:
    with (
        deaf_gateway() as port,
        running_front([port], tmp_path, proxy_read_timeout="100ms") as front,
    ):
        answer = front.client().get(f"{front.url}/", timeout=10)
    assert (answer.status_code, problem(answer)["code"]) == (504, "gateway_timeout")


def test_an_upload_over_the_limit_is_refused_before_it_is_read(front: Front) -> None:
    with front.socket() as connection:
        connection.sendall(f"{UPLOAD}Content-Length: {LIMIT_BYTES + 1}\r\n\r\n".encode())
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"body_too_large"' in answer


def test_an_upload_of_the_limit_is_waited_for(front: Front) -> None:
    with front.socket() as connection:
        head = f"{UPLOAD}Content-Length: {LIMIT_BYTES}\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 100 ")


def test_a_flood_is_held_off_in_the_gateways_own_words(front: Front) -> None:
    with front.client("127.0.0.50") as flooder:
        answers = [flooder.get(f"{front.url}/", timeout=10) for _ in range(FLOOD)]
    first = next(n for n, answer in enumerate(answers) if answer.status_code == 429)
    assert first >= BURST
    assert problem(answers[first])["code"] == "rate_limited"
    assert answers[first].headers["Retry-After"] == "1"
    assert front.client("127.0.0.51").get(f"{front.url}/", timeout=10).status_code == 502


def refused(front: Front, client: requests.Session) -> requests.Response:
    """What `client` is answered once nginx has read what was sent before: 429."""
    answers: list[requests.Response] = []

    def is_refused() -> bool:
        answers.append(client.get(f"{front.url}/", timeout=10))
        return answers[-1].status_code == 429

    wait_until(is_refused, "nginx counts all connections")
    return answers[-1]


def test_one_address_holds_so_many_connections_and_no_more(front: Front) -> None:
    unfinished = f"{UPLOAD}Content-Length: 99\r\n\r\n".encode()
    with ExitStack() as stack:
        for _ in range(CONNECTIONS):
            stack.enter_context(front.socket("127.0.0.52")).sendall(unfinished)
        answer = refused(front, front.client("127.0.0.52"))
        assert (answer.status_code, problem(answer)["code"]) == (429, "rate_limited")
        assert front.client("127.0.0.53").get(f"{front.url}/", timeout=10).status_code == 502


def test_an_ipv6_network_counts_as_one_address(tmp_path: Path) -> None:
    system = "set_real_ip_from 127.0.0.1; real_ip_header X-Address;"
    with ExitStack() as stack:
        front = stack.enter_context(running_front([free_port()], tmp_path, system=system))
        for n in range(CONNECTIONS):
            head = f"{UPLOAD}X-Address: 2001:db8:1:2::{n:x}\r\nContent-Length: 99\r\n\r\n"
            stack.enter_context(front.socket()).sendall(head.encode())
        same, other = front.client(), front.client()
        same.headers["X-Address"] = "2001:db8:1:2:ffff::1"
        other.headers["X-Address"] = "2001:db8:1:3::1"
        refused(front, same)
        assert other.get(front.url, timeout=10).status_code == 502


def test_the_gateway_hears_of_an_upload_when_it_is_whole(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as gateway,
        running_front([gateway.getsockname()[1]], tmp_path) as front,
        front.socket() as slow,
        front.socket() as quick,
    ):
        gateway.settimeout(30)
        slow.sendall(f"{UPLOAD}Content-Length: 8\r\n\r\nhalf".encode())
        quick.sendall(b"GET / HTTP/1.1\r\nHost: sluice\r\n\r\n")
        first, _ = gateway.accept()
        with first:
            assert first.recv(4096).startswith(b"GET / ")
            slow.sendall(b"more")
            second, _ = gateway.accept()
            with second:
                assert second.recv(4096).endswith(b"\r\n\r\nhalfmore")


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf",
    ],
    ids=["nothing", "headers", "body"],
)
def test_who_dawdles_is_hung_up_on(tmp_path: Path, sent: bytes) -> None:
    sooner = {"client_header_timeout": "100ms", "client_body_timeout": "100ms"}
    with (
        running_front([free_port()], tmp_path, **sooner) as front,
        front.socket() as connection,
    ):
        connection.sendall(sent)
        said = last_words(connection)
    assert said == b"" or said.startswith(b"HTTP/1.1 408 ")


def last_words(connection: socket.socket) -> bytes:
    """What comes until it is closed, or reset, as later Pythons call it where TLS is cut off."""
    said = b""
    with suppress(ConnectionResetError):
        while piece := connection.recv(4096):
            said += piece
    return said


@pytest.mark.parametrize(
    ("left_to_nginx", "status", "code"),
    [
        ("/kept/images/2f/2f27f149-8d5f-4cb6-840f-882939b1a62c", 404, "image_not_found"),
        ("/kept/images/00/00000000-8d5f-4cb6-840f-882939b1a62c", 503, "storage_error"),
        ("/kept/images/00/11111111-8d5f-4cb6-840f-882939b1a62c", 503, "storage_error"),
        ("/kept/images/00/no-id", 404, "not_found"),
        ("/kept/sluice.db", 404, "not_found"),
    ],
    ids=["evicted", "a link", "not the group's", "no image", "the database"],
)
def test_nginx_sends_kept_images_and_nothing_else(
    tmp_path: Path, left_to_nginx: str, status: int, code: str
) -> None:
    with folder_for_the_group() as data_dir:
        (data_dir / "sluice.db").write_text("secret")
        images = data_dir / "images" / "00"
        images.mkdir(parents=True)
        (images / "00000000-8d5f-4cb6-840f-882939b1a62c").symlink_to(data_dir / "sluice.db")
        (images / "11111111-8d5f-4cb6-840f-882939b1a62c").touch(mode=0o600)
        with (
            canned_gateway(f"X-Accel-Redirect: {left_to_nginx}\r\n") as port,
            running_front([port], data_dir) as front,
        ):
            answer = front.client().get(f"{front.url}{IMAGE}", timeout=10)
    assert (answer.status_code, problem(answer)["code"]) == (status, code)
    assert "Cache-Control" not in answer.headers
