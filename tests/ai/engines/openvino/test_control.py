"""The embedded engine under way: progress, previews, interrupts, deadlines, several threads."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait

import numpy as np
import pytest
from PIL import Image

from ai.engines.openvino.engine import OpenVinoEngine
from ai.engines.openvino.run import Run
from ai.engines.openvino.weights import Weights
from ai.errors import EngineFailed, EngineMadeNan, EngineTimeout, GenerationCanceled
from ai.generation import Generation, Progress
from tests.ai.engines.openvino.conftest import NewEngine
from tests.ai.engines.openvino.support import TIMEOUT_S, Pixels, generate, made, txt2img
from tests.running import wait_until

LONG = txt2img(steps=900)
POLL_S = 0.002


class Latent:
    """What the library hands to a callback, as far as it is looked at."""

    def __init__(self, value: float = 0.0) -> None:
        self.data = np.full((1, 8, 4, 4), value, np.float32)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as executor:
        yield executor


@pytest.fixture
def long_one(embedded: OpenVinoEngine, threads: ThreadPoolExecutor) -> Future[Generation]:
    """A generation of many steps that has begun to paint."""
    embedded.describe()
    future = threads.submit(generate, embedded, LONG)
    wait_until(lambda: _step(embedded) > 0, "the first step")
    return future


def test_several_threads_get_each_their_own_picture(
    embedded: OpenVinoEngine, threads: ThreadPoolExecutor
) -> None:
    seeds = range(8)
    alone = [made(embedded, txt2img(seed=seed)) for seed in seeds]
    together = threads.map(lambda seed: made(embedded, txt2img(seed=seed)), seeds)
    assert all(np.array_equal(*pair) for pair in zip(alone, together, strict=True))


def test_an_interrupt_stops_what_runs_and_nothing_else(
    embedded: OpenVinoEngine, long_one: Future[Generation]
) -> None:
    embedded.interrupt()
    with pytest.raises(GenerationCanceled):
        long_one.result()
    embedded.interrupt()
    assert generate(embedded, txt2img()).images


def test_an_interrupt_reaches_a_batch_between_its_pictures(
    embedded: OpenVinoEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint: Callable[..., Pixels | None] = Weights.paint

    def paint_and_interrupt(*arguments: object) -> Pixels | None:
        picture = paint(*arguments)
        embedded.interrupt()
        return picture

    monkeypatch.setattr(Weights, "paint", paint_and_interrupt)
    with pytest.raises(GenerationCanceled):
        generate(embedded, txt2img(batch_size=2))


def test_closing_stops_what_runs(threads: ThreadPoolExecutor, new_engine: NewEngine) -> None:
    closing = new_engine()
    future = threads.submit(generate, closing, LONG)
    wait_until(lambda: _step(closing) > 0, "the first step")
    closing.close()
    with pytest.raises(GenerationCanceled):
        future.result()


def test_a_deadline_stops_it(embedded: OpenVinoEngine) -> None:
    embedded.describe()
    with pytest.raises(EngineTimeout):
        embedded.generate(LONG, timeout_s=0.2)
    assert generate(embedded, txt2img()).images


def test_a_deadline_counts_while_another_generation_is_painted(
    embedded: OpenVinoEngine, long_one: Future[Generation]
) -> None:
    with pytest.raises(EngineTimeout):
        embedded.generate(txt2img(), timeout_s=0.05)
    assert not long_one.done()
    embedded.interrupt()
    with pytest.raises(GenerationCanceled):
        long_one.result()


def test_nothing_running_has_no_progress(embedded: OpenVinoEngine) -> None:
    generate(embedded, txt2img())
    assert embedded.progress() is None
    assert embedded.progress(preview=True) is None


def test_progress_climbs_while_it_paints(
    embedded: OpenVinoEngine, threads: ThreadPoolExecutor
) -> None:
    request = txt2img(steps=60, batch_size=2)
    seen: list[Progress] = []
    future = threads.submit(generate, embedded, request)
    while wait([future], POLL_S).not_done:
        progress = embedded.progress()
        if progress is not None and progress.step > 0:
            seen.append(progress)
    steps = [progress.step for progress in seen]
    assert len(set(steps)) > 10, "seen only now and then: the interpreter was held"
    assert steps == sorted(steps)
    assert {progress.steps for progress in seen} == {120}
    assert all(0 < progress.fraction <= 1 for progress in seen)
    assert all(progress.eta_s is not None and progress.eta_s >= 0 for progress in seen)


def test_a_preview_asked_for_is_a_small_jpeg_and_changes_nothing(
    embedded: OpenVinoEngine, threads: ThreadPoolExecutor
) -> None:
    request = txt2img(width=512, height=320, steps=12)
    future = threads.submit(made, embedded, request)
    previews = []
    while wait([future], POLL_S).not_done:
        progress = embedded.progress(preview=True)
        if progress is not None and progress.preview is not None:
            previews.append(progress.preview)
    with Image.open(io.BytesIO(previews[-1])) as preview:
        assert preview.format == "JPEG"
        assert preview.size == (256, 160)
    assert np.array_equal(future.result(), made(embedded, request))


def test_a_preview_that_fails_costs_no_picture(
    embedded: OpenVinoEngine, monkeypatch: pytest.MonkeyPatch, threads: ThreadPoolExecutor
) -> None:
    tried = []

    def fail(*_: object) -> bytes:
        tried.append(True)
        raise RuntimeError("no preview")

    monkeypatch.setattr(Weights, "preview", fail)
    future = threads.submit(made, embedded, txt2img(steps=30))
    while wait([future], POLL_S).not_done:
        progress = embedded.progress(preview=True)
        assert progress is None or progress.preview is None
    assert future.result().shape == (64, 64, 3)
    assert tried


def test_an_exception_in_the_callback_is_an_error_and_not_the_end_of_the_process(
    embedded: OpenVinoEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(Run, "_flaw", stumble)
        with pytest.raises(EngineFailed):
            generate(embedded, txt2img())
    assert generate(embedded, txt2img()).images


def test_a_run_stops_at_the_step_after_it_was_canceled() -> None:
    run = _run()
    after_step = run.callback(lambda _: b"")
    assert after_step(0, 20, Latent()) is False
    run.cancel()
    assert after_step(1, 20, Latent()) is True
    with pytest.raises(GenerationCanceled):
        run.raise_if_stopped()


def test_a_run_stops_at_numbers_that_are_none() -> None:
    run = _run()
    assert run.callback(lambda _: b"")(0, 20, Latent(np.nan)) is True
    with pytest.raises(EngineMadeNan):
        run.raise_if_stopped()


def test_a_canceled_run_starts_no_picture() -> None:
    run = _run()
    run.begin_image(0)
    run.cancel()
    with pytest.raises(GenerationCanceled):
        run.begin_image(1)


def test_previews_are_made_only_for_those_who_ask() -> None:
    made_previews = []

    def preview(_: object) -> bytes:
        made_previews.append(True)
        return b"jpeg"

    run = _run()
    after_step = run.callback(preview)
    after_step(0, 20, Latent())
    assert run.progress(preview=False).preview is None
    assert made_previews == []
    assert run.progress(preview=True).preview is None
    after_step(1, 20, Latent())
    assert run.progress(preview=True).preview == b"jpeg"


def test_previews_take_a_tenth_of_the_time_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def slow_preview(_: object) -> bytes:
        now[0] += 1.0
        return b"jpeg"

    run = Run("embedded", images=1, steps=100, deadline=1000.0)
    after_step = run.callback(slow_preview)
    for step in range(100):
        run.progress(preview=True)
        after_step(step, 100, Latent())
        now[0] += 0.5
    assert now[0] - 100.0 <= 50.0 / 0.9 + 1.0


def _run() -> Run:
    return Run("embedded", images=2, steps=20, deadline=time.monotonic() + TIMEOUT_S)


def _step(engine: OpenVinoEngine) -> int:
    progress = engine.progress()
    return progress.step if progress else 0
