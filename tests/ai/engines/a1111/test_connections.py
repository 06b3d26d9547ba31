"""The WebUI's engine where nobody listens, connections break and answers do not end."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from typing import Any

import pytest
import requests_mock

from ai.engines.a1111.engine import A1111Engine
from ai.errors import (
    EngineFailed,
    EngineLost,
    EngineTimeout,
    EngineUnavailable,
    WrongResult,
)
from tests.ai.engines.a1111.support import (
    API,
    TIMEOUT_S,
    URL,
    engine_at,
    good_answer,
    mock_lists,
    txt2img,
)
from tests.fake_webui import FakeWebUI, Fault


@pytest.fixture
def engine(engine: A1111Engine) -> A1111Engine:
    """Already described, on a connection that is kept."""
    engine.describe()
    return engine


def test_nothing_listening_is_unavailable() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        with engine_at(url) as engine, pytest.raises(EngineUnavailable, match="cannot be reached"):
            engine.generate(txt2img(), timeout_s=TIMEOUT_S)


def test_a_host_that_does_not_exist_is_unavailable() -> None:
    with engine_at("http://webui.invalid:7860") as engine, pytest.raises(EngineUnavailable):
        engine.generate(txt2img(), timeout_s=TIMEOUT_S)


def test_a_host_that_does_not_take_connections_is_unavailable_after_the_connect_timeout() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        queued = [socket.socket() for _ in range(5)]
        for waiting in queued:
            waiting.setblocking(False)
            waiting.connect_ex(address)
        url = f"http://127.0.0.1:{address[1]}"
        with (
            engine_at(url, connect_timeout_s=0.1) as engine,
            pytest.raises(EngineUnavailable, match="cannot be reached"),
        ):
            engine.describe()
        for waiting in queued:
            waiting.close()


def test_a_webui_that_died_between_two_requests_is_unavailable(
    webui: FakeWebUI, engine: A1111Engine
) -> None:
    engine.generate(txt2img(), timeout_s=TIMEOUT_S)
    webui.stop()
    with pytest.raises(EngineUnavailable):
        engine.generate(txt2img(), timeout_s=TIMEOUT_S)
    webui.start()
    assert engine.generate(txt2img(), timeout_s=TIMEOUT_S).images


def test_what_does_not_speak_http_is_no_webui() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"220 mail.test ESMTP\r\n")
                connection.recv(65536)

        greeting = threading.Thread(target=greet)
        greeting.start()
        with (
            engine_at(f"http://127.0.0.1:{server.getsockname()[1]}") as engine,
            pytest.raises(EngineUnavailable, match="does not answer"),
        ):
            engine.describe()
        greeting.join()


@pytest.mark.parametrize("name", ["sd-models", "samplers", "schedulers", "options"])
def test_a_list_that_does_not_come_makes_it_unavailable(webui: FakeWebUI, name: str) -> None:
    webui.inject(Fault.HANG, path=name)
    with (
        engine_at(webui.url, probe_timeout_s=0.1) as engine,
        pytest.raises(EngineUnavailable, match="does not answer"),
    ):
        engine.describe()


def test_it_is_unavailable_while_it_starts(webui: FakeWebUI) -> None:
    webui.starting = True
    with engine_at(webui.url) as engine:
        with pytest.raises(EngineUnavailable, match="API"):
            engine.generate(txt2img(), timeout_s=TIMEOUT_S)
        webui.starting = False
        assert engine.generate(txt2img(), timeout_s=TIMEOUT_S).images


# A kept connection that the WebUI closed without saying so.


def test_a_request_that_was_never_read_is_sent_once_more(
    webui: FakeWebUI, engine: A1111Engine
) -> None:
    webui.inject(Fault.RESET_WHEN_REUSED)
    for _ in range(2):
        assert engine.generate(txt2img(), timeout_s=TIMEOUT_S).images
    assert webui.hang_ups == 1
    assert len(webui.bodies("txt2img")) == 2


def test_it_is_sent_no_third_time(webui: FakeWebUI, engine: A1111Engine) -> None:
    webui.inject(Fault.DROP_BEFORE_READING, Fault.DROP_BEFORE_READING)
    with pytest.raises(EngineLost):
        engine.generate(txt2img(), timeout_s=TIMEOUT_S)
    assert webui.hang_ups == 2
    assert webui.bodies("txt2img") == []


def test_on_a_fresh_connection_it_is_not_sent_twice(webui: FakeWebUI, engine: A1111Engine) -> None:
    engine.close()
    webui.inject(Fault.DROP_BEFORE_READING)
    with pytest.raises(EngineLost):
        engine.generate(txt2img(), timeout_s=TIMEOUT_S)
    assert webui.bodies("txt2img") == []


def test_a_job_that_broke_off_at_work_is_not_sent_twice(
    webui: FakeWebUI, engine: A1111Engine
) -> None:
    webui.inject(Fault.DROP_AT_WORK)
    with pytest.raises(EngineLost):
        engine.generate(txt2img(), timeout_s=TIMEOUT_S)
    assert len(webui.bodies("txt2img")) == 1


@pytest.mark.parametrize("flavour", ["forge", "a1111"])
def test_a_connection_is_kept_after_an_answer_and_not_after_a_crash(flavour: Any) -> None:
    with FakeWebUI(flavour=flavour) as webui, engine_at(webui.url) as engine:
        engine.describe()
        webui.inject(Fault.CRASH)
        with pytest.raises(EngineFailed):
            engine.generate(txt2img(), timeout_s=TIMEOUT_S)
        for _ in range(3):
            engine.generate(txt2img(), timeout_s=TIMEOUT_S)
        assert webui.connections == 2


def test_a_connection_made_anew_counts_as_fresh(webui: FakeWebUI, engine: A1111Engine) -> None:
    webui.inject(Fault.CRASH, Fault.DROP_BEFORE_READING)
    with pytest.raises(EngineFailed):
        engine.generate(txt2img(), timeout_s=TIMEOUT_S)
    with pytest.raises(EngineLost):
        engine.generate(txt2img(), timeout_s=TIMEOUT_S)
    assert webui.hang_ups == 1


# Limits of time and size.


def test_an_answer_that_does_not_come_is_a_timeout_told_to_the_upstream(
    webui: FakeWebUI, engine: A1111Engine
) -> None:
    webui.model.state.hold(at_step=1)
    with pytest.raises(EngineTimeout):
        engine.generate(txt2img(steps=50), timeout_s=0.2)
    assert len(webui.bodies("interrupt")) == 1
    assert webui.model.state.interrupted


def test_the_upstream_is_not_interrupted_where_others_may_be_at_work(webui: FakeWebUI) -> None:
    webui.model.state.hold(at_step=1)
    with engine_at(webui.url, concurrency=2) as engine, pytest.raises(EngineTimeout):
        engine.generate(txt2img(steps=50), timeout_s=0.2)
    assert webui.bodies("interrupt") == []


def test_an_answer_that_trickles_does_not_outlast_its_time(webui: FakeWebUI) -> None:
    with engine_at(webui.url) as engine:
        engine.describe()
        webui.inject(Fault.TRICKLE)
        with pytest.raises(EngineTimeout):
            engine.generate(txt2img(), timeout_s=0.3)


def test_a_list_of_over_16_mib_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with requests_mock.Mocker() as mock, engine_at(URL) as engine:
        mock_lists(mock)
        mock.get(f"{API}/samplers", content=b" " * (16 * 2**20 + 1))
        with pytest.raises(WrongResult, match="too many bytes"):
            engine.describe()


@pytest.mark.parametrize("length", [None, "5", "9" * 5000, "-1", "x"])
def test_a_length_that_is_missing_or_wrong_does_no_harm(length: str | None) -> None:
    said = {} if length is None else {"Content-Length": length}
    body = json.dumps(good_answer()).encode()
    with requests_mock.Mocker() as mock, engine_at(URL) as engine:
        mock_lists(mock)
        mock.post(f"{API}/txt2img", content=body, headers=said)
        if length == "5":
            with pytest.raises(WrongResult):
                engine.generate(txt2img(), timeout_s=TIMEOUT_S)
        else:
            assert engine.generate(txt2img(), timeout_s=TIMEOUT_S).images


def test_a_packed_answer_is_bounded_by_what_is_in_it() -> None:
    packed = gzip.compress(b" " * 2**22)
    with requests_mock.Mocker() as mock, engine_at(URL, max_answer_bytes=2**20) as engine:
        mock_lists(mock)
        mock.post(f"{API}/txt2img", content=packed, headers={"Content-Encoding": "gzip"})
        with pytest.raises(WrongResult, match="too many bytes"):
            engine.generate(txt2img(), timeout_s=TIMEOUT_S)
