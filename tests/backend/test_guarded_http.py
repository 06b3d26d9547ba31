"""Requests to where a caller says: to the address judged and no other, in bounded time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from backend.addresses import AddressRefused, AddressRules
from backend.guarded_http import guarded_request
from tests.backend.receivers import Receiver, receiving
from tests.backend.strangers import resolving, serving, trusting
from tests.certificates import self_signed

LOCAL = AddressRules(allow_http=True, allow_private=True)
PUBLIC = AddressRules(allow_http=True)


def post(url: str, rules: AddressRules, **options: Any) -> int:
    with guarded_request("POST", url, rules, headers={}, data=b"{}", **options) as response:
        return response.status_code


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


def test_the_name_is_looked_up_once_and_that_address_connected_to(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver = resolving(monkeypatch, ["127.0.0.1"], ["127.0.0.2"])
    assert post(f"http://rebinding.example:{receiver.port}/hook", LOCAL) == 204
    assert resolver.asked == ["rebinding.example"]
    assert receiver.received[0].headers["Host"] == f"rebinding.example:{receiver.port}"


def test_a_name_that_turns_to_us_the_second_time_gains_nothing(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Any] = []

    def refuse(places: list[Any], _deadline: float) -> socket.socket:
        tried.extend(places)
        raise ConnectionRefusedError

    monkeypatch.setattr("backend.guarded_http._connected", refuse)
    resolving(monkeypatch, ["8.8.8.8"], ["127.0.0.1"])
    with pytest.raises(requests.ConnectionError):
        post(f"http://rebinding.example:{receiver.port}/hook", PUBLIC)
    assert tried == [(socket.AF_INET, ("8.8.8.8", receiver.port))]
    assert receiver.received == []


@pytest.mark.parametrize(
    "answer",
    [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::ffff:127.0.0.1"], ["169.254.169.254"]],
)
def test_a_name_of_which_any_address_is_inside_is_refused(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, answer: list[str]
) -> None:
    resolving(monkeypatch, answer)
    with pytest.raises(AddressRefused, match="not allowed"):
        post(f"http://inside.example:{receiver.port}/hook", PUBLIC)
    assert receiver.received == []


def test_a_literal_address_is_judged_like_a_name(receiver: Receiver) -> None:
    with pytest.raises(AddressRefused):
        post(receiver.url, PUBLIC)
    with pytest.raises(AddressRefused, match="https://"):
        post(receiver.url, AddressRules(allow_private=True))
    assert receiver.received == []


def test_an_address_that_takes_nobody_leaves_time_for_the_next(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, ["127.0.0.9", "127.0.0.1"])
    assert post(f"http://two.example:{receiver.port}/hook", LOCAL) == 204


def test_redirects_cookies_and_proxies_are_left_alone(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    receiver.script = [302]
    receiver.headers = {"Location": "/elsewhere", "Set-Cookie": "a=b"}
    assert post(receiver.url, LOCAL) == 302
    assert [request.path for request in receiver.received] == ["/hook?token=in-url"]


def test_a_name_that_is_none_is_a_failure_to_connect() -> None:
    for name in ("a..b", "nowhere.invalid"):
        with pytest.raises(requests.ConnectionError):
            post(f"http://{name}:8080/", LOCAL)


def test_a_resolver_that_never_answers_is_given_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def never(*_: Any, **__: Any) -> list[Any]:
        answered.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", never)
    with pytest.raises(requests.ConnectionError):
        post("http://slow.example/", LOCAL, connect_timeout_s=0.05)
    answered.set()


def test_an_answer_that_trickles_is_cut_off() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = threading.Event()

        def trickle() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                done.wait(30)

        thread = threading.Thread(target=trickle)
        thread.start()
        with pytest.raises(requests.ReadTimeout, match="in all"):
            post(
                f"http://127.0.0.1:{server.getsockname()[1]}/",
                LOCAL,
                read_timeout_s=30.0,
                total_timeout_s=0.2,
            )
        done.set()
        thread.join()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed("DNS:receiver.example", tmp_path_factory.mktemp("tls"))


def test_tls_is_verified_for_the_name_not_the_address(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_for: list[str | None] = []
    context = serving(certificate)
    context.sni_callback = lambda _socket, name, _context: asked_for.append(name)
    trusting(monkeypatch, certificate)
    resolving(monkeypatch, ["127.0.0.1"])
    with receiving(tls=context) as secure:
        assert post(f"https://receiver.example:{secure.port}/hook", LOCAL) == 204
        assert asked_for == ["receiver.example"]
        with pytest.raises(requests.exceptions.SSLError):
            post(f"https://other.example:{secure.port}/hook", LOCAL)
    assert len(secure.received) == 1
