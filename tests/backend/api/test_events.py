"""A job watched: server-sent events, resumed, shared, counted."""

from __future__ import annotations

import base64
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from ai.generation import Txt2Img
from backend.api import events
from backend.errors import TooManyWatchers
from backend.jobs.live import LiveJob
from backend.jobs.records import Job
from backend.seats import Seats
from tests.backend.api.job_caller import BEHIND_A_PROXY, Caller, Event
from tests.fake_webui import FakeWebUI, Fault
from tests.pictures import opened
from tests.running import API, Sluice, running_sluice, wait_until

PLACES = 5


@pytest.fixture(scope="module")
def webui() -> Iterator[FakeWebUI]:
    with FakeWebUI() as webui:
        yield webui


@pytest.fixture(scope="module")
def served(webui: FakeWebUI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sluice]:
    env = {"SD_WEBUI_URL": webui.url, **BEHIND_A_PROXY, "THREADS": str(2 * PLACES)}
    with running_sluice(tmp_path_factory.mktemp("events"), env) as sluice:
        yield sluice


@pytest.fixture
def caller(served: Sluice, webui: FakeWebUI) -> Iterator[Caller]:
    """A new one; whatever he left waiting is let run off."""
    webui.seen.clear()
    caller = Caller(served)
    yield caller
    webui.model.step_latency_s = 0.0
    webui.model.state.release()
    for status in ("queued", "processing"):
        wait_until(lambda s=status: not caller.get(f"?status={s}").json()["jobs"], "all ended")  # type: ignore[misc]


def until(told: Iterator[Event], name: str) -> Event:
    return next(event for event in told if event.name == name)


def test_a_watcher_is_told_of_the_queue_the_steps_and_the_end(
    caller: Caller, webui: FakeWebUI
) -> None:
    webui.model.state.hold()
    ahead, job_id = caller.submit(), caller.submit(steps=8)
    caller.await_status(ahead, "processing")
    with caller.watching(job_id) as told:
        first = next(told)
        assert (first.name, first.data["status"], first.data["position"]) == ("queued",) * 2 + (1,)
        assert first.data["eta_s"] > 0
        webui.model.state.hold(at_step=2)
        wait_until(lambda: len(webui.bodies("txt2img")) == 1, "the first is at work")
        webui.model.state.release()
        webui.model.step_latency_s = 0.25
        heard = list(told)
    *steps, last = [event for event in heard if event.name != "queued"]
    assert {event.name for event in steps} == {"processing"}
    fractions = [event.data["progress"] for event in steps]
    assert fractions == sorted(fractions)
    assert any(0 < event.data["step"] <= event.data["steps"] == 8 for event in steps)
    assert all("preview" not in event.data for event in steps)
    assert (last.name, last.id, last.data["status"]) == ("succeeded",) * 3
    ids = [event.id for event in heard]
    assert len(set(ids)) == len(ids)
    (image,) = last.data["images"]
    assert caller.sluice.get(image["image_url"]).status_code == 200


def test_a_preview_comes_only_to_those_who_ask_for_one(caller: Caller, webui: FakeWebUI) -> None:
    webui.model.state.hold(at_step=2)
    job_id = caller.submit()
    webui.model.state.wait_for_step(2)
    with caller.watching(job_id, query="?preview=true") as with_it:
        event = until(with_it, "processing")
        kind, _, data = event.data["preview"].partition(",")
        assert kind == "data:image/jpeg;base64"
        assert max(opened(base64.b64decode(data)).size) <= 512
        with caller.watching(job_id) as without:
            assert "preview" not in until(without, "processing").data


def test_who_comes_back_hears_nothing_twice(caller: Caller, webui: FakeWebUI) -> None:
    webui.model.state.hold(at_step=1)
    job_id = caller.submit()
    caller.await_job(job_id, lambda job: job.get("step") == 1, "a step is done")
    with caller.watching(job_id) as told:
        seen = next(told)
    with caller.watching(job_id, last_event_id=seen.id) as told:
        webui.model.state.hold(at_step=2)
        webui.model.state.release()
        heard = list(told)
    assert seen.id not in [event.id for event in heard]
    assert heard[-1].name == "succeeded"
    with caller.watching(job_id, last_event_id=seen.id) as told:
        assert [event.name for event in told] == ["succeeded"]
    again = caller.get(f"/{job_id}/events", **{"Last-Event-ID": heard[-1].id})
    assert (again.status_code, again.content) == (204, b"")


@pytest.mark.parametrize("end", ["failed", "canceled"])
def test_every_end_is_told(caller: Caller, webui: FakeWebUI, end: str) -> None:
    webui.model.state.hold()
    webui.inject(*[Fault.OOM] if end == "failed" else [])
    job_id = caller.submit()
    caller.await_status(job_id, "processing")
    with caller.watching(job_id) as told:
        next(told)
        if end == "canceled":
            caller.cancel(job_id)
        webui.model.state.release()
        last = list(told)[-1]
    assert (last.name, last.data["status"]) == (end, end)
    assert last.data["error"]["code"]


def test_several_watchers_of_a_job_cost_the_webui_one_look(
    caller: Caller, webui: FakeWebUI
) -> None:
    webui.model.step_latency_s = 0.2
    job_id = caller.submit(steps=12)
    caller.await_status(job_id, "processing")
    webui.seen.clear()
    began = time.monotonic()

    def watch() -> None:
        with caller.watching(job_id) as told:
            assert until(told, "succeeded")

    watchers = [threading.Thread(target=watch) for _ in range(PLACES)]
    for watcher in watchers:
        watcher.start()
    for watcher in watchers:
        watcher.join()
    looks = sum(seen.path.endswith("/progress") for seen in webui.seen)
    assert 1 <= looks <= (time.monotonic() - began) / events.LOOK_S + 1


def test_one_watcher_too_many_is_sent_to_poll(caller: Caller, webui: FakeWebUI) -> None:
    webui.model.state.hold()
    job_id = caller.submit()
    with ExitStack() as stack:
        for _ in range(PLACES):
            next(stack.enter_context(caller.watching(job_id)))
        refused = caller.get(f"/{job_id}/events")
        assert (refused.status_code, refused.json()["code"]) == (503, "too_many_watchers")
        assert int(refused.headers["Retry-After"]) > 0
        assert caller.job(job_id)["status"] == "processing"
    with ExitStack() as stack:
        for _ in range(PLACES):
            wait_until(lambda: took_place(stack, caller, job_id), "a place is free again")


def test_who_leaves_before_he_hears_a_thing_takes_no_place(
    caller: Caller, webui: FakeWebUI
) -> None:
    webui.model.state.hold()
    job_id = caller.submit()
    head = "".join(f"{name}: {value}\r\n" for name, value in caller.headers.items())
    path = f"{API}/jobs/{job_id}/events"
    for method in ["GET", "HEAD"] * 2 * PLACES:
        with socket.create_connection(("127.0.0.1", caller.sluice.port)) as leaver:
            leaver.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode())
    with ExitStack() as stack:
        for _ in range(PLACES):
            wait_until(lambda: took_place(stack, caller, job_id), "there is a place")


def took_place(stack: ExitStack, caller: Caller, job_id: str) -> bool:
    url = f"{caller.sluice.url}{API}/jobs/{job_id}/events"
    answer = caller.sluice.http.get(url, headers=caller.headers, stream=True, timeout=30)
    if answer.status_code != 200:
        answer.close()
        return False
    stack.enter_context(answer)
    return True


# Without a server.


@pytest.fixture
def live() -> LiveJob:
    request = Txt2Img(prompt="x", seed=1)
    job = Job(
        id=uuid4(),
        caller="me",
        kind="txt2img",
        status="queued",
        detached=True,
        request={},
        created_at=datetime.now(UTC),
    )
    return LiveJob(job, request)


def test_where_nothing_changes_a_comment_keeps_the_line_open(live: LiveJob) -> None:
    told = events.stream(live, preview=False, seen=None, comment_every_s=0.0)
    assert next(told).startswith(b"event: queued\n")
    assert next(told) == next(told) == b": still here\n\n"
    live.over.set()
    assert list(told) == []


def test_comments_come_often_enough_for_any_proxy() -> None:
    assert events.COMMENT_EVERY_S == 15


def test_who_has_left_is_told_no_more(live: LiveJob) -> None:
    here = iter([False, True])
    told = events.stream(live, preview=False, seen=None, left=lambda: next(here))
    assert len(list(told)) == 1


def test_a_place_is_given_back_once() -> None:
    watchers = events.Watchers(1, Seats(4))
    told = watchers.counted(iter([b"x"]))
    with pytest.raises(TooManyWatchers):
        watchers.counted(iter([]))
    told.close()  # type: ignore[attr-defined]
    told.close()  # type: ignore[attr-defined]
    watchers.counted(iter([]))
    with pytest.raises(TooManyWatchers):
        watchers.counted(iter([]))
