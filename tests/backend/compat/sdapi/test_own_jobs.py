"""Progress, interrupt, skip and options are each caller's own; tools end with their caller."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from tests.fake_webui import FakeWebUI
from tests.pictures import b64, png
from tests.running import Sluice, wait_until

ME, OTHER = "127.0.0.1", "127.0.0.2"
ASKED = {"prompt": "a cat", "steps": 4, "width": 64, "height": 64}


def ask(sluice: Sluice, caller: str, method: str, path: str, body: Any = None) -> Any:
    """Status and parsed body, asked from the address `caller`."""
    connection = _connection(sluice, caller)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, f"/sdapi/v1/{path}", data, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def _connection(sluice: Sluice, caller: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(
        "127.0.0.1", sluice.port, timeout=60, source_address=(caller, 0)
    )


def progress(sluice: Sluice, caller: str, query: str = "") -> Any:
    return ask(sluice, caller, "GET", f"progress{query}")[1]


@contextmanager
def painting(sluice: Sluice, webui: FakeWebUI) -> Iterator[Future[Any]]:
    """A request of mine held at its second step."""
    webui.model.state.hold(at_step=2)
    try:
        with ThreadPoolExecutor(1) as threads:
            made = threads.submit(ask, sluice, ME, "POST", "txt2img", ASKED)
            webui.model.state.wait_for_step(2)
            try:
                yield made
            finally:
                webui.model.state.release()
    finally:
        webui.model.state.release()


def test_others_see_none_of_my_progress_and_cannot_stop_me(
    sluice: Sluice, webui: FakeWebUI
) -> None:
    with painting(sluice, webui) as made:
        assert progress(sluice, ME)["state"]["job"] == "scripts_txt2img"
        theirs = progress(sluice, OTHER)
        assert (theirs["progress"], theirs["state"]["job"]) == (0.0, "")
        assert theirs["current_image"] is None
        assert ask(sluice, OTHER, "POST", "interrupt") == (200, {})
        assert ask(sluice, OTHER, "POST", "skip") == (200, None)
        assert webui.model.state.interrupted is False
        webui.model.state.release()
        assert made.result()[0] == 200


@pytest.mark.parametrize("way", ["interrupt", "skip"])
def test_my_own_is_stopped_at_the_gpu(sluice: Sluice, webui: FakeWebUI, way: str) -> None:
    with painting(sluice, webui) as made:
        assert ask(sluice, ME, "POST", way)[0] == 200
        status, body = made.result()
        wait_until(lambda: webui.model.state.interrupted, "the WebUI is told")
    assert (status, body["code"]) == (409, "generation_canceled")


def test_a_request_that_waits_is_told_of_and_can_be_called_off(
    sluice: Sluice, webui: FakeWebUI
) -> None:
    with painting(sluice, webui) as made, ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(ask, sluice, OTHER, "POST", "txt2img", ASKED | {"seed": 1})
        place = "Waiting in the queue at place 1"
        wait_until(lambda: progress(sluice, OTHER)["textinfo"] == place, "it waits")
        told = progress(sluice, OTHER)
        assert (told["progress"], told["state"]["job_count"]) == (0.0, 1)
        ask(sluice, OTHER, "POST", "interrupt")
        assert waiting.result()[0] == 409
        webui.model.state.release()
        assert made.result()[0] == 200


def test_the_picture_so_far_is_left_out_when_asked(sluice: Sluice, webui: FakeWebUI) -> None:
    with painting(sluice, webui) as made:
        assert progress(sluice, ME, "?skip_current_image=true")["current_image"] is None
        assert progress(sluice, ME)["current_image"]
        webui.model.state.release()
        assert made.result()[0] == 200


def test_a_chosen_checkpoint_is_the_choosers_alone(sluice: Sluice) -> None:
    ask(sluice, OTHER, "POST", "options", {"sd_model_checkpoint": "tinyB"})
    assert ask(sluice, OTHER, "GET", "options")[1]["sd_model_checkpoint"].startswith("tinyB")
    assert ask(sluice, ME, "GET", "options")[1]["sd_model_checkpoint"].startswith("tinyA")
    theirs = ask(sluice, OTHER, "POST", "txt2img", ASKED)[1]
    assert json.loads(theirs["info"])["sd_model_name"] == "tinyB"
    own = {"override_settings": {"sd_model_checkpoint": "tinyA"}}
    asked_once = ask(sluice, OTHER, "POST", "txt2img", ASKED | own)[1]
    assert json.loads(asked_once["info"])["sd_model_name"] == "tinyA"


def test_the_request_id_goes_to_the_webui(sluice: Sluice, webui: FakeWebUI) -> None:
    for route, body in (("txt2img", ASKED), ("interrogate", {"image": b64(png())})):
        headers = {"X-Request-ID": f"mine-{route}"}
        sluice.http.post(f"{sluice.url}/sdapi/v1/{route}", json=body, headers=headers, timeout=60)
        (seen,) = (seen for seen in webui.seen if seen.path.endswith(route))
        assert seen.headers["X-Request-ID"] == f"mine-{route}"


def test_a_tool_stops_when_its_caller_goes_away(sluice: Sluice, webui: FakeWebUI) -> None:
    webui.model.state.hold(at_step=1)
    try:
        connection = _connection(sluice, ME)
        body = json.dumps({"image": b64(png())})
        connection.request("POST", "/sdapi/v1/interrogate", body)
        webui.model.state.wait_for_step(1)
        connection.close()
        wait_until(lambda: webui.model.state.interrupted, "the WebUI is interrupted")
    finally:
        webui.model.state.release()
