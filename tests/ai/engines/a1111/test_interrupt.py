"""Calling off and watching the one request that runs on a WebUI, and no other."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ai.engines.a1111.engine import A1111Engine
from ai.errors import EngineLost, GenerationCanceled
from tests.ai.engines.a1111.support import TIMEOUT_S, Start, engine_at, running_at, txt2img
from tests.fake_webui import FakeWebUI, Fault
from tests.running import wait_until


@pytest.fixture
def engine(engine: A1111Engine) -> A1111Engine:
    """Already described, on a connection that is kept."""
    engine.describe()
    return engine


def test_an_interrupted_generation_is_canceled_though_the_webui_says_200(
    webui: FakeWebUI, engine: A1111Engine, start: Start
) -> None:
    made = running_at(webui, start, step=20)
    engine.interrupt()
    with pytest.raises(GenerationCanceled):
        made.result(TIMEOUT_S)
    assert webui.seen[-1].status == 200
    webui.model.state.release()
    assert start().result(TIMEOUT_S).images


def test_an_interrupted_generation_is_canceled_though_the_webui_crashed_over_it(
    webui: FakeWebUI, engine: A1111Engine, start: Start
) -> None:
    webui.inject(Fault.CRASH)
    made = running_at(webui, start, step=20)
    engine.interrupt()
    with pytest.raises(GenerationCanceled):
        made.result(TIMEOUT_S)


def test_nothing_is_sent_when_nothing_runs(webui: FakeWebUI, engine: A1111Engine) -> None:
    engine.interrupt()
    engine.generate(txt2img(), timeout_s=TIMEOUT_S)
    engine.interrupt()
    assert webui.bodies("interrupt") == []
    assert engine.generate(txt2img(), timeout_s=TIMEOUT_S).images


def test_a_job_that_has_not_begun_and_forgets_the_interrupt_is_interrupted_again(
    webui: FakeWebUI, engine: A1111Engine, start: Start
) -> None:
    with webui.model.lock():  # the request is there, its job is not
        made = start()
        webui.wait_for_requests(1)
        interrupting = threading.Thread(target=engine.interrupt)
        interrupting.start()
        webui.wait_for_requests(1, "interrupt")
    webui.model.state.hold(at_step=1)
    with pytest.raises(GenerationCanceled):
        made.result(TIMEOUT_S)
    interrupting.join(TIMEOUT_S)
    assert len(webui.bodies("interrupt")) >= 2


def test_the_engine_is_not_given_back_before_the_interrupt_is_answered(
    webui: FakeWebUI, engine: A1111Engine, start: Start
) -> None:
    """Else it could arrive during the next request's job."""
    made = running_at(webui, start, step=20)
    webui.hold_answers_to("interrupt")
    interrupting = threading.Thread(target=engine.interrupt)
    interrupting.start()
    webui.wait_for_requests(1, "interrupt")
    webui.model.state.release()
    wait_until(lambda: webui.seen[-2].ended_at is not None, "the picture was answered")
    with pytest.raises(TimeoutError):
        made.result(timeout=0.2)
    webui.release_answers()
    with pytest.raises(GenerationCanceled):
        made.result(TIMEOUT_S)
    interrupting.join(TIMEOUT_S)


@pytest.mark.parametrize("fault", [Fault.UNAUTHORIZED, Fault.STARTING])
def test_an_interrupt_that_is_not_heard_cancels_nothing(
    webui: FakeWebUI, engine: A1111Engine, start: Start, fault: Fault
) -> None:
    made = running_at(webui, start, step=20)
    webui.inject(fault, path="interrupt")
    engine.interrupt()
    webui.model.state.release()
    assert made.result(TIMEOUT_S).images


def test_an_interrupt_whose_answer_is_lost_counts_as_heard(
    webui: FakeWebUI, engine: A1111Engine, start: Start
) -> None:
    """What comes of it may be a partial picture."""
    made = running_at(webui, start, step=20)
    webui.inject(*[Fault.DROP_BEFORE_READING] * 8, path="interrupt")
    engine.interrupt()
    webui.model.state.release()
    with pytest.raises(GenerationCanceled):
        made.result(TIMEOUT_S)


def test_a_connection_lost_at_work_is_told_to_the_upstream_which_would_work_on(
    webui: FakeWebUI, engine: A1111Engine
) -> None:
    webui.inject(Fault.DROP_AT_WORK)
    with pytest.raises(EngineLost):
        engine.generate(txt2img(), timeout_s=TIMEOUT_S)
    assert len(webui.bodies("interrupt")) == 1


def test_where_several_run_at_once_none_is_interrupted_or_watched(
    webui: FakeWebUI, start: Start
) -> None:
    with engine_at(webui.url, concurrency=2) as balanced:
        made = running_at(webui, start, step=20, on=balanced)
        balanced.interrupt()
        assert balanced.progress() is None
        assert webui.bodies("interrupt") == webui.bodies("progress") == []
        webui.model.state.release()
        assert made.result(TIMEOUT_S).images


def test_sdcpp_has_neither_progress_nor_interrupt() -> None:
    with FakeWebUI(flavour="sdcpp") as webui, engine_at(webui.url) as engine:
        webui.model.state.hold(3)
        with ThreadPoolExecutor() as pool:
            made = pool.submit(engine.generate, txt2img(steps=9), timeout_s=TIMEOUT_S)
            webui.model.state.wait_for_step(3)
            assert engine.progress() is None
            engine.interrupt()
            webui.model.state.release()
            assert made.result(TIMEOUT_S).images
    assert webui.bodies("progress") == []
