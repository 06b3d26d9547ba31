"""What the WebUI's engine makes of refusals, crashes and broken connections."""

from __future__ import annotations

import gzip
import logging
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests_mock

from ai.engines.a1111 import A1111Engine
from ai.errors import (
    EngineError,
    EngineFailed,
    EngineLost,
    EngineMadeNan,
    EngineOutOfMemory,
    EngineRefused,
    EngineTimeout,
    EngineUnavailable,
    WrongResult,
)
from tests.ai.engines.a1111_support import API, TIMEOUT_S, URL, engine_at, mock_lists, txt2img
from tests.fake_webui import FakeWebUI, Fault

SECRET = "/opt/webui/models and me:secret"


@pytest.fixture
def webui() -> Iterator[FakeWebUI]:
    with FakeWebUI() as running:
        yield running


@pytest.fixture
def engine(webui: FakeWebUI) -> Iterator[A1111Engine]:
    """Already described, on a connection that is kept."""
    with engine_at(webui.url) as connected:
        connected.describe()
        yield connected


def forge(error: str, message: str = SECRET) -> dict[str, str]:
    return {"error": error, "detail": "", "body": "", "message": message}


def automatic1111(error: str, errors: str = SECRET, detail: str = "") -> dict[str, str]:
    return {"error": error, "detail": detail, "body": "", "errors": errors}


ROWS: list[tuple[int, object, type[EngineError]]] = [
    (422, {"detail": f"Script '{SECRET}' not found"}, EngineRefused),
    (422, automatic1111("HTTPException", "", f"Script '{SECRET}' not found"), EngineRefused),
    (422, {"detail": [{"type": "json_invalid", "msg": SECRET}]}, EngineRefused),
    (400, {"error": "prompt required"}, EngineRefused),
    (405, {"detail": "Method Not Allowed"}, EngineRefused),
    (413, "<html>Request Entity Too Large</html>", EngineRefused),
    (404, {"detail": "Init image not found"}, EngineRefused),
    (404, automatic1111("HTTPException", "", "Init image not found"), EngineRefused),
    (404, {"detail": "Not Found"}, EngineUnavailable),
    (404, "<html>nginx</html>", EngineUnavailable),
    (404, "", EngineUnavailable),
    (404, [], EngineUnavailable),
    (401, {"detail": "Incorrect username or password"}, EngineRefused),
    (403, {"detail": "Forbidden"}, EngineRefused),
    (302, "", EngineRefused),
    (201, {}, EngineRefused),
    (429, "", EngineUnavailable),
    (503, "", EngineUnavailable),
    (502, "<html>Bad Gateway</html>", EngineLost),
    (504, "<html>Gateway Timeout</html>", EngineLost),
    (500, forge("RuntimeError"), EngineFailed),
    (500, forge("KeyError"), EngineFailed),
    (500, forge("OSError", "image file is truncated"), EngineFailed),
    (500, forge("ValueError"), EngineFailed),
    (500, forge("ZeroDivisionError"), EngineFailed),
    (500, forge("IndexError"), EngineFailed),
    (500, automatic1111("RuntimeError"), EngineFailed),
    (500, {"detail": "Invalid encoded image"}, EngineFailed),
    (500, {"error": "generate_image returned no results"}, EngineFailed),
    (500, "Internal Server Error", EngineFailed),
    (500, forge("OutOfMemoryError", "CUDA out of memory. Tried..."), EngineOutOfMemory),
    (500, automatic1111("OutOfMemoryError"), EngineOutOfMemory),
    (500, forge("RuntimeError", "CUDA out of memory"), EngineOutOfMemory),
    (500, {"error": "server_error", "message": "out of memory"}, EngineOutOfMemory),
    (500, forge("NansException"), EngineMadeNan),
    (500, automatic1111("NansException"), EngineMadeNan),
]


def caught(mock: requests_mock.Mocker, status: int, body: object) -> EngineError:
    """What generate raises when the WebUI answers so."""
    mock_lists(mock)
    said: dict[str, Any] = {"text": body} if isinstance(body, str) else {"json": body}
    mock.post(f"{API}/txt2img", status_code=status, **said)
    with engine_at(URL) as engine, pytest.raises(EngineError) as raised:
        engine.generate(txt2img(), timeout_s=TIMEOUT_S)
    return raised.value


@pytest.mark.parametrize(("status", "body", "error"), ROWS)
def test_every_answer_but_200_means_one_error(
    status: int, body: object, error: type[EngineError]
) -> None:
    with requests_mock.Mocker() as mock:
        raised = caught(mock, status, body)
    assert type(raised) is error
    assert raised.engine == "gpu-0"


@pytest.mark.parametrize("status", [404, 422, 500])
def test_the_upstreams_words_reach_the_debug_log_alone_and_cut_short(
    caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level(logging.DEBUG, logger="ai")
    with requests_mock.Mocker() as mock:
        raised = caught(mock, status, {"detail": SECRET + "\n\x1b[31m" + "x" * 10_000})
    assert SECRET not in str(raised)
    records = [record for record in caplog.records if "excerpt" in vars(record)]
    excerpt = vars(records[-1])["excerpt"]
    assert records[-1].levelno == logging.DEBUG
    assert SECRET in excerpt
    assert len(excerpt) <= 200
    assert excerpt.isprintable()


def test_wrong_credentials_are_told_as_ours() -> None:
    with FakeWebUI(auth="me:secret") as webui:
        address = webui.url.replace("http://", "http://me:wrong@")
        with engine_at(address) as engine, pytest.raises(EngineRefused) as raised:
            engine.describe()
        with engine_at(address.replace("wrong", "secret")) as engine:
            assert engine.generate(txt2img(), timeout_s=TIMEOUT_S).images
    assert "credentials" in str(raised.value)
    assert "wrong" not in str(raised.value)


FAULTS: dict[Fault, type[EngineError]] = {
    Fault.OOM: EngineOutOfMemory,
    Fault.OOM_IN_TEXT: EngineOutOfMemory,
    Fault.NAN: EngineMadeNan,
    Fault.CRASH: EngineFailed,
    Fault.UNAUTHORIZED: EngineRefused,
    Fault.STARTING: EngineUnavailable,
    Fault.REDIRECT: EngineRefused,
    Fault.DROP_BEFORE_READING: EngineLost,
    Fault.DROP_AT_WORK: EngineLost,
    Fault.DROP_MID_ANSWER: EngineLost,
}


@pytest.mark.parametrize("flavour", ["forge", "a1111"])
@pytest.mark.parametrize("fault", FAULTS)
def test_each_mishap_of_a_first_request_is_its_error_and_the_next_request_works(
    fault: Fault, flavour: Any
) -> None:
    with FakeWebUI(flavour=flavour) as webui, engine_at(webui.url) as engine:
        engine.describe()
        engine.close()  # what is sent next goes over a fresh connection
        webui.inject(fault)
        with pytest.raises(EngineError) as raised:
            engine.generate(txt2img(), timeout_s=TIMEOUT_S)
        assert type(raised.value) is FAULTS[fault]
        assert engine.generate(txt2img(), timeout_s=TIMEOUT_S).images
        assert str(webui.port) not in str(raised.value)


# Connections.


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


def test_a_connection_is_kept_after_an_answer_and_not_after_a_crash(
    webui: FakeWebUI, engine: A1111Engine
) -> None:
    webui.inject(Fault.CRASH)
    with pytest.raises(EngineFailed):
        engine.generate(txt2img(), timeout_s=TIMEOUT_S)
    for _ in range(3):
        engine.generate(txt2img(), timeout_s=TIMEOUT_S)
    assert webui.connections == 2


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


def test_a_packed_answer_is_bounded_by_what_is_in_it() -> None:
    packed = gzip.compress(b" " * 2**22)
    with requests_mock.Mocker() as mock, engine_at(URL, max_answer_bytes=2**20) as engine:
        mock_lists(mock)
        mock.post(f"{API}/txt2img", content=packed, headers={"Content-Encoding": "gzip"})
        with pytest.raises(WrongResult, match="too many bytes"):
            engine.generate(txt2img(), timeout_s=TIMEOUT_S)
