"""Watching the one request of ours that runs on a WebUI."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai.engines.a1111.engine import A1111Engine
from ai.engines.a1111.progress import read_progress, says_interrupted
from ai.generation import Progress
from ai.images import inspect_image
from tests.ai.engines.a1111.support import TIMEOUT_S, Start, engine_at, img2img, running_at, txt2img
from tests.fake_webui import FakeWebUI, Fault
from tests.fake_webui_wire import recorded


@pytest.fixture
def engine(engine: A1111Engine) -> A1111Engine:
    """Already described, on a connection that is kept."""
    engine.describe()
    return engine


def test_progress_tells_step_fraction_and_what_is_left(
    webui: FakeWebUI, engine: A1111Engine, start: Start
) -> None:
    made = running_at(webui, start, step=23)
    progress = engine.progress()
    webui.model.state.release()
    made.result(TIMEOUT_S)
    assert progress is not None
    assert (progress.step, progress.steps) == (23, 60)
    assert progress.fraction == pytest.approx(0.01 + 23 / 60)
    assert progress.eta_s is not None
    assert progress.preview is None
    assert webui.seen[-1].query == "skip_current_image=true"


def test_a_preview_is_a_picture_sent_only_when_asked_for(
    webui: FakeWebUI, engine: A1111Engine, start: Start
) -> None:
    made = running_at(webui, start, step=23)
    progress = engine.progress(preview=True)
    webui.model.state.release()
    made.result(TIMEOUT_S)
    assert progress is not None
    assert progress.preview is not None
    assert inspect_image(progress.preview).media_type == "image/png"
    assert webui.seen[-1].query == ""


def test_before_the_first_step_the_steps_of_the_job_before_are_not_believed(
    webui: FakeWebUI, engine: A1111Engine, start: Start
) -> None:
    engine.generate(txt2img(steps=7), timeout_s=TIMEOUT_S)
    made = running_at(webui, start, step=0)
    progress = engine.progress()
    webui.model.state.release()
    made.result(TIMEOUT_S)
    assert progress == Progress(fraction=0.0, step=0, steps=60)


def test_img2img_takes_a_share_of_its_steps(webui: FakeWebUI, engine: A1111Engine) -> None:
    webui.model.state.hold(at_step=0)
    request = img2img(steps=40, denoising_strength=0.5)
    with ThreadPoolExecutor() as pool:
        made = pool.submit(engine.generate, request, timeout_s=TIMEOUT_S)
        webui.model.state.wait_for_step(0)
        progress = engine.progress()
        webui.model.state.release()
        made.result(TIMEOUT_S)
    assert progress == Progress(steps=20)


def test_there_is_no_progress_when_nothing_of_ours_runs(
    webui: FakeWebUI, engine: A1111Engine, start: Start
) -> None:
    assert engine.progress() is None
    with engine_at(webui.url) as other:
        made = running_at(webui, start, step=3, on=other)
        assert engine.progress() is None
        webui.model.state.release()
        made.result(TIMEOUT_S)
    assert webui.bodies("progress") == []


def test_progress_that_comes_after_the_picture_is_none(webui: FakeWebUI, start: Start) -> None:
    with engine_at(webui.url, probe_timeout_s=TIMEOUT_S) as engine, ThreadPoolExecutor() as pool:
        made = running_at(webui, start, step=20, on=engine)
        webui.hold_answers_to("progress")
        progress = pool.submit(engine.progress)
        webui.wait_for_requests(1, "progress")
        webui.model.state.release()
        assert made.result(TIMEOUT_S).images
        webui.release_answers()
        assert progress.result(TIMEOUT_S) is None


@pytest.mark.parametrize(
    "fault", [Fault.HANG, Fault.STARTING, Fault.UNAUTHORIZED, Fault.DROP_BEFORE_READING]
)
def test_progress_that_cannot_be_had_is_none(webui: FakeWebUI, start: Start, fault: Fault) -> None:
    with engine_at(webui.url, probe_timeout_s=0.2) as engine:
        made = running_at(webui, start, step=20, on=engine)
        webui.inject(fault, fault, path="progress")
        assert engine.progress() is None
        webui.model.state.release()
        assert made.result(TIMEOUT_S).images


def told(**changes: Any) -> bytes:
    """The body of GET progress, of a job at step 23 of 60."""
    body = dict(recorded("progress-running"))
    state = changes.pop("state", {})
    return orjson.dumps(body | {"state": body["state"] | state} | changes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"progress": 1.7}, Progress(1.0, 23, 60, 4.0)),
        ({"progress": -0.5}, Progress(0.0, 23, 60, 4.0)),
        ({"progress": None}, Progress(0.0, 23, 60, 4.0)),
        ({"eta_relative": -1.0}, Progress(0.5, 23, 60, None)),
        ({"eta_relative": "soon"}, Progress(0.5, 23, 60, None)),
        ({"state": {"sampling_steps": 7}}, Progress(0.5, 23, 23, 4.0)),
        ({"state": {"sampling_step": -1}}, Progress(steps=20)),
        ({"state": {"job": ""}}, None),
        ({"state": {"job": None}}, None),
    ],
)
def test_numbers_out_of_bounds_are_brought_within_or_left_out(
    changes: dict[str, Any], expected: Progress | None
) -> None:
    usual = {"progress": 0.5, "eta_relative": 4, "current_image": None}
    assert read_progress(told(**(usual | changes)), steps=20) == expected


@pytest.mark.parametrize("image", ["", "!", "iVBORw0KGgo=", 7])
def test_a_preview_that_is_no_picture_is_left_out(image: object) -> None:
    progress = read_progress(told(current_image=image), steps=20)
    assert progress is not None
    assert progress.preview is None


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"interrupted": True}, True),
        ({"interrupted": False}, False),
        ({"interrupted": True, "job": ""}, False),
    ],
)
def test_only_a_running_job_knows_that_it_is_interrupted(
    state: dict[str, Any], expected: bool
) -> None:
    assert says_interrupted(told(state=state)) is expected


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@given(
    anything=st.fixed_dictionaries(
        {},
        optional={
            "progress": JSON_VALUES,
            "eta_relative": JSON_VALUES,
            "current_image": JSON_VALUES,
            "state": JSON_VALUES
            | st.fixed_dictionaries(
                {"job": st.just("scripts_txt2img")},
                optional={"sampling_step": JSON_VALUES, "sampling_steps": JSON_VALUES},
            ),
        },
    )
    | JSON_VALUES
)
def test_progress_that_makes_no_sense_is_none_or_within_bounds(anything: object) -> None:
    body = orjson.dumps(anything)
    progress = read_progress(body, steps=20)
    assert says_interrupted(body) is False
    if progress is not None:
        assert 0 <= progress.fraction <= 1
        assert 0 <= progress.step <= progress.steps
        assert progress.eta_s is None or progress.eta_s >= 0


@given(st.binary(max_size=40))
def test_progress_that_is_no_json_is_none(body: bytes) -> None:
    assert read_progress(body, steps=20) is None
