"""What the WebUI's engine makes of refusals, crashes and broken connections."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import requests_mock

from ai.engines.a1111.engine import A1111Engine
from ai.errors import (
    EngineError,
    EngineFailed,
    EngineLost,
    EngineMadeNan,
    EngineOutOfMemory,
    EngineRefused,
    EngineUnavailable,
)
from tests.ai.engines.a1111.support import API, TIMEOUT_S, URL, engine_at, mock_lists, txt2img
from tests.fake_webui import FakeWebUI, Fault

SECRET = "/opt/webui/models and me:secret"


@pytest.fixture
def engine(engine: A1111Engine) -> A1111Engine:
    """Already described, on a connection that is kept."""
    engine.describe()
    return engine


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
    (500, forge("RuntimeError", "MPS backend Out Of Memory"), EngineOutOfMemory),
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
        raised = caught(mock, status, SECRET + "\n\x1b[31m" + "x" * 10_000)
    assert SECRET not in str(raised)
    records = [record for record in caplog.records if "excerpt" in vars(record)]
    excerpt = vars(records[-1])["excerpt"]
    assert records[-1].levelno == logging.DEBUG
    assert SECRET in excerpt
    assert len(excerpt) <= 200
    assert excerpt.isprintable()


def test_cookies_are_not_kept(webui: FakeWebUI, engine: A1111Engine) -> None:
    webui.inject(Fault.SETS_A_COOKIE)
    for _ in range(2):
        engine.generate(txt2img(), timeout_s=TIMEOUT_S)
    assert all("Cookie" not in seen.headers for seen in webui.seen)


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
