"""The runner: what it keeps, what it lets go, and what becomes of jobs when things break."""

from __future__ import annotations

import gc
import random
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from ai.errors import EngineError, GenerationCanceled, QueueFull, ShuttingDown
from ai.generation import Img2Img, Picture
from ai.pool import PoolPolicy
from backend.generate import ImageGenerator
from backend.jobs.records import LedgerUnavailable, Terms
from backend.seats import Seats
from backend.storage.base import StorageError
from tests.backend.jobs.house import House, image_ids, opened
from tests.fake_webui import FakeWebUI, Fault
from tests.fake_webui_pictures import make_pixels
from tests.pictures import opened as picture
from tests.pictures import png
from tests.running import wait_until


@pytest.fixture
def webui() -> Iterator[FakeWebUI]:
    with FakeWebUI() as webui:
        yield webui


@pytest.fixture
def house(webui: FakeWebUI, tmp_path: Path) -> Iterator[House]:
    with opened(tmp_path, webui.url) as house:
        yield house


def painted(seed: int) -> bytes:
    pixels = make_pixels(seed, "a red circle", "tinyA", width=64, height=64)
    return pixels.tobytes()


def test_a_job_is_kept_from_its_acceptance_to_its_end(house: House, webui: FakeWebUI) -> None:
    webui.model.state.hold()
    live = house.ask()
    job = house.await_status(live, "processing")
    assert job.started_at is not None
    assert (job.runs, job.attempts, job.result) == (1, 0, None)
    webui.model.state.release()
    assert live.over.wait(10)
    job = house.kept(live)
    assert (job.status, job.runs, job.attempts, job.engine) == ("succeeded", 1, 1, "webui")
    assert None not in (job.queue_s, job.engine_s, job.ended_at)
    (image_id,) = image_ids(job)
    assert picture(house.store.read(image_id) or b"").tobytes() == painted(7)
    assert house.runner.all() == []


def test_quick_jobs_are_started_before_they_end_and_ended_once(
    house: House, webui: FakeWebUI
) -> None:
    lives = [house.ask(seed=seed) for seed in range(60)]
    for live in lives:
        assert live.over.wait(20)
    for live in lives:
        job = house.kept(live)
        assert (job.status, job.runs, job.attempts) == ("succeeded", 1, 1)
        assert job.started_at is not None
        assert job.ended_at is not None
        assert job.created_at <= job.started_at <= job.ended_at
    assert house.store.usage().images == 60


def test_a_failure_is_kept_with_its_code(house: House, webui: FakeWebUI) -> None:
    webui.inject(Fault.OOM)
    live = house.ask()
    assert live.over.wait(10)
    job = house.kept(live)
    assert (job.status, job.error_code, job.attempts) == ("failed", "engine_out_of_memory", 1)
    assert isinstance(live.error, EngineError)


def test_an_ended_job_holds_on_to_no_picture(house: House) -> None:
    gc.collect()
    gc.disable()
    try:
        live = house.ask()
        assert live.over.wait(10)
        assert live.result is not None
        outcome = weakref.ref(live.result.images[0].image)
        job = weakref.ref(live)
        del live
        wait_until(lambda: outcome() is None and job() is None, "the job is let go")
    finally:
        gc.enable()


def test_a_job_that_cannot_be_kept_is_not_begun(house: House, webui: FakeWebUI) -> None:
    with house.database.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE jobs RENAME TO hidden")
    data = png()
    request = Img2Img(prompt="x", image=Picture(data, "image/png", 64, 64), width=64, height=64)
    with pytest.raises(LedgerUnavailable):
        house.runner.accept(request, caller="me", detached=True, terms=Terms())
    assert house.runner.all() == []
    assert house.pool.queue_length() == 0
    assert webui.bodies("img2img") == []
    assert house.store.usage().images == 0
    with house.database.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE hidden RENAME TO jobs")


def test_a_job_that_the_pool_refuses_is_kept_as_failed(webui: FakeWebUI, tmp_path: Path) -> None:
    with opened(tmp_path, webui.url, PoolPolicy(max_queue=1)) as house:
        webui.model.state.hold()
        house.ask(), house.ask()
        with pytest.raises(QueueFull):
            house.ask()
        wait_until(lambda: len(house.runner.all()) == 2, "the refused one is let go")
        (refused,) = house.ledger.page("me", limit=9, status="failed")
        assert (refused.error_code, refused.attempts, refused.runs) == ("queue_full", 0, 0)
        webui.model.state.release()


def test_canceled_while_it_waits_it_never_reaches_the_engine(
    house: House, webui: FakeWebUI
) -> None:
    webui.model.state.hold()
    first, second = house.ask(seed=1), house.ask(seed=2)
    house.await_status(first, "processing")
    assert house.runner.cancel(second)
    assert not house.runner.cancel(second)
    assert second.over.wait(10)
    assert house.kept(second).status == "canceled"
    assert isinstance(second.error, GenerationCanceled)
    webui.model.state.release()
    assert first.over.wait(10)
    assert not house.runner.cancel(first)
    assert [body["seed"] for body in webui.bodies("txt2img")] == [1]


def test_a_cancellation_hits_the_right_job_each_time(webui: FakeWebUI, tmp_path: Path) -> None:
    """One of five, a hundred times: waiting or at any step of its work."""
    webui.model.step_latency_s = 0.002
    chance = random.Random(7)
    with opened(tmp_path, webui.url) as house:
        for number in range(0, 500, 5):
            lives = [house.ask(seed=number + n, steps=3) for n in range(5)]
            chosen = chance.choice(lives)
            before = chance.choice(lives)
            wait_until(
                lambda before=before: before.ticket.state != "queued",  # type: ignore[misc]
                "that one's turn comes",
            )
            called_off = house.runner.cancel(chosen)
            for live in lives:
                assert live.over.wait(10)
                job = house.kept(live)
                if live is chosen and called_off:
                    assert job.status == "canceled"
                else:
                    assert (job.status, job.error_code) == ("succeeded", None)
                    data = house.store.read(image_ids(job)[0]) or b""
                    assert picture(data).tobytes() == painted(live.request.seed)


def test_a_database_locked_for_a_while_loses_nothing(
    house: House, webui: FakeWebUI, tmp_path: Path
) -> None:
    webui.model.state.hold()
    lives = [house.ask(seed=seed) for seed in range(3)]
    house.await_status(lives[0], "processing")
    other = sqlite3.connect(tmp_path / "sluice.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    late: list[object] = []
    asking = threading.Thread(target=lambda: late.append(house.ask(seed=9)))
    asking.start()
    webui.model.state.release()
    webui.wait_for_requests(3, "txt2img")
    assert not lives[2].over.wait(2.0)
    other.execute("ROLLBACK")
    other.close()
    asking.join()
    for live in [*lives, *late]:
        assert live.over.wait(15)  # type: ignore[attr-defined]
        assert house.kept(live).status == "succeeded"  # type: ignore[arg-type]


def test_an_end_is_kept_once_the_database_is_back(house: House, webui: FakeWebUI) -> None:
    webui.model.state.hold()
    live = house.ask()
    house.await_status(live, "processing")
    with house.database.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE jobs RENAME TO hidden")
    webui.model.state.release()
    wait_until(lambda: house.store.usage().images == 1, "its image is stored")
    assert not live.over.wait(0.1)
    with house.database.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE hidden RENAME TO jobs")
    assert live.over.wait(10)
    assert house.kept(live).status == "succeeded"


def test_a_picture_that_nobody_could_fetch_is_a_failure(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StorageError("The disk is full.")

    monkeypatch.setattr(house.store, "put", full)
    alone, waited_for = house.ask(), house.ask(detached=False)
    assert alone.over.wait(10)
    assert waited_for.over.wait(10)
    assert (house.kept(alone).status, house.kept(alone).error_code) == ("failed", "storage_error")
    assert house.kept(waited_for).status == "succeeded"
    assert waited_for.result is not None
    assert waited_for.result.images[0].image.data


def test_a_caller_who_leaves_cancels_his_job(house: House, webui: FakeWebUI) -> None:
    webui.model.state.hold()
    generator = ImageGenerator(house.runner, Seats(64), 60)
    left = threading.Event()
    left.set()
    request = house.ask().request
    with pytest.raises(GenerationCanceled):
        generator.generate(request, caller="me", terms=Terms(), caller_left=left.is_set)
    wait_until(lambda: len(house.runner.all()) == 1, "his job is let go")
    (canceled,) = house.ledger.page("me", limit=9, status="canceled")
    assert canceled.detached is False
    webui.model.state.release()


def test_a_job_left_by_its_request_waits_without_an_end(webui: FakeWebUI, tmp_path: Path) -> None:
    with opened(tmp_path, webui.url, PoolPolicy(queue_timeout_s=0.3)) as house:
        webui.model.state.hold()
        house.ask()
        left, other = house.ask(detached=False), house.ask(detached=False)
        house.runner.detach(left)
        assert other.over.wait(10)
        assert house.kept(other).error_code == "deadline_exceeded"
        assert not left.over.is_set()
        webui.model.state.release()
        assert left.over.wait(10)
        assert house.kept(left).status == "succeeded"


def test_draining_waits_for_what_runs_and_leaves_the_rest(house: House, webui: FakeWebUI) -> None:
    webui.model.state.hold()
    runs, waits, synchronous = house.ask(), house.ask(), house.ask(detached=False)
    house.await_status(runs, "processing")
    draining = threading.Thread(target=house.runner.drain, args=(30.0,))
    draining.start()
    assert waits.over.wait(10)
    assert synchronous.over.wait(10)
    with pytest.raises(ShuttingDown):
        house.ask()
    assert not runs.over.is_set()
    webui.model.state.release()
    draining.join()
    assert house.kept(runs).status == "succeeded"
    assert (house.kept(waits).status, house.kept(waits).runs) == ("queued", 0)
    assert (house.kept(synchronous).status, house.kept(synchronous).error_code) == (
        "failed",
        "shutting_down",
    )


def test_what_does_not_end_in_time_is_put_back(house: House, webui: FakeWebUI) -> None:
    webui.model.state.hold()
    runs = house.ask()
    house.await_status(runs, "processing")
    webui.model.state.wait_for_step(0)
    house.runner.drain(0.0)
    assert runs.over.is_set()
    job = house.kept(runs)
    assert (job.status, job.runs, job.attempts, job.started_at) == ("queued", 0, 0, None)
    webui.wait_for_requests(1, "interrupt")


def test_draining_twice_at_once_ends_both(house: House, webui: FakeWebUI) -> None:
    webui.model.state.hold()
    house.await_status(house.ask(), "processing")
    slow = threading.Thread(target=house.runner.drain, args=(60.0,))
    slow.start()
    house.runner.drain(0.0)
    slow.join(20)
    assert not slow.is_alive()


def test_what_was_accepted_has_its_place_whatever_the_bounds_are_now(
    webui: FakeWebUI, tmp_path: Path
) -> None:
    webui.model.state.hold()
    with opened(tmp_path, webui.url) as house:
        lives = [house.ask(seed=seed) for seed in range(4)]
        house.await_status(lives[0], "processing")
    with opened(tmp_path, webui.url, PoolPolicy(max_queue=1)) as house:
        wait_until(lambda: house.pool.queue_length() == 3, "three wait")
        with pytest.raises(QueueFull):
            house.ask()
        webui.model.state.release()
        for live in lives:
            house.await_status(live, "succeeded")
    assert [body["seed"] for body in webui.bodies("txt2img")] == [0, 0, 1, 2, 3]
