"""Jobs over HTTP: asked for now, looked at, called off, collected later."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backend.api.job_caller import BEHIND_A_PROXY, SMALL, Caller
from tests.fake_webui import FakeWebUI, Fault
from tests.pictures import from_data_uri
from tests.postgres import running_postgres
from tests.running import API, Sluice, running_sluice, wait_until

NOBODYS = "7f9ee492-1b63-4441-859b-0123456789ab"
BEFORE_ALL_TIME = base64.urlsafe_b64encode(f"0001-01-01T00:00:00+14:00|{NOBODYS}".encode()).decode()


@pytest.fixture(scope="module")
def webui() -> Iterator[FakeWebUI]:
    with FakeWebUI() as webui:
        yield webui


@pytest.fixture(scope="module")
def served(webui: FakeWebUI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sluice]:
    env = {"SD_WEBUI_URL": webui.url, **BEHIND_A_PROXY}
    with running_sluice(tmp_path_factory.mktemp("jobs"), env) as sluice:
        yield sluice


@pytest.fixture
def caller(served: Sluice, webui: FakeWebUI) -> Iterator[Caller]:
    """A new one; whatever he left waiting is let run off."""
    caller = Caller(served)
    webui.seen.clear()
    yield caller
    webui.model.step_latency_s = 0.0
    webui.model.state.release()
    for status in ("queued", "processing"):
        wait_until(lambda s=status: not caller.get(f"?status={s}").json()["jobs"], "all ended")  # type: ignore[misc]


def test_a_job_is_accepted_at_once_with_its_urls(caller: Caller, webui: FakeWebUI) -> None:
    webui.model.state.hold()
    answer = caller.sluice.post(
        "txt2img", json=SMALL, headers=caller.headers | {"Prefer": "wait=5, Respond-Async"}
    )
    body = answer.json()
    path = f"{API}/jobs/{body['job_id']}"
    assert answer.status_code == 202
    assert answer.headers["Location"] == path
    assert answer.headers["Preference-Applied"] == "respond-async"
    assert body == {
        "job_id": body["job_id"],
        "status": "queued",
        "urls": {"self": path, "events": f"{path}/events", "cancel": path},
    }


def test_a_job_tells_where_it_stands_until_it_can_be_collected(
    caller: Caller, webui: FakeWebUI
) -> None:
    webui.model.state.hold(at_step=3)
    first, second = caller.submit(), caller.submit(seed=8)
    running = caller.await_job(first, lambda job: job.get("step") == 3, "three steps are done")
    assert running["status"] == "processing"
    assert 0 < running["progress"] < 1
    waiting = caller.job(second)
    assert (waiting["status"], waiting["position"], waiting["progress"]) == ("queued", 1, 0)
    assert waiting["eta_s"] > 0
    assert (waiting["runs"], waiting["started_at"]) == (0, None)
    webui.model.state.release()
    done = caller.await_status(second, "succeeded")
    assert (done["progress"], done["runs"], done["attempts"]) == (1, 1, 1)
    assert (done["engine"], done["model"], done["device"]) == ("webui", "tinyA", "cuda")
    assert done["created_at"] < done["started_at"] < done["ended_at"]
    assert done["timings"]["queue_s"] > 0
    assert done["parameters"]["steps"] == 4
    (image,) = done["images"]
    assert image["seed"] == 8
    direct = caller.post(seed=8).json()
    assert caller.sluice.get(image["image_url"]).content == from_data_uri(direct["image_base64"])


def test_a_failed_job_says_why(caller: Caller, webui: FakeWebUI) -> None:
    webui.inject(Fault.OOM)
    failed = caller.await_status(caller.submit(), "failed")
    assert failed["error"]["code"] == "engine_out_of_memory"
    assert failed["error"]["message"]
    assert "images" not in failed


def test_a_synchronous_request_is_a_job_too(caller: Caller) -> None:
    assert caller.post().status_code == 200
    (job,) = caller.get("").json()["jobs"]
    assert (job["status"], job["kind"]) == ("succeeded", "txt2img")


def test_jobs_are_listed_from_new_to_old_in_pages(caller: Caller, webui: FakeWebUI) -> None:
    webui.model.state.hold()
    ids = [caller.submit(seed=seed) for seed in range(5)]
    found: list[str] = []
    cursor = ""
    for size in (2, 2, 1):
        page = caller.get(f"?limit=2{cursor}").json()
        assert len(page["jobs"]) == size
        found += [job["job_id"] for job in page["jobs"]]
        cursor = f"&cursor={page['next_cursor']}"
    assert page["next_cursor"] is None
    assert found == ids[::-1]
    caller.await_status(ids[0], "processing")
    wait_until(lambda: len(caller.get("?status=queued").json()["jobs"]) == 4, "four wait")
    assert [j["job_id"] for j in caller.get("?status=processing").json()["jobs"]] == ids[:1]
    assert caller.get("?status=failed").json() == {"jobs": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=1e1", "limit"),
        ("limit=", "limit"),
        ("limit=" + "9" * 3000, "limit"),
        ("limit=%EF%BC%91", "limit"),
        ("status=done", "status"),
        ("status=", "status"),
        ("cursor=", "cursor"),
        ("cursor=nonsense", "cursor"),
        ("cursor=%F0%9F%8F%A0", "cursor"),
        (f"cursor={BEFORE_ALL_TIME}", "cursor"),
        ("order=up", "order"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused_by_name(
    caller: Caller, query: str, field: str
) -> None:
    answer = caller.get(f"?{query}")
    assert answer.status_code == 422, answer.text
    assert [wrong["field"] for wrong in answer.json()["errors"]] == [field]


def test_anothers_job_is_not_there(caller: Caller, webui: FakeWebUI) -> None:
    webui.model.state.hold()
    job_id = caller.submit()
    other = Caller(caller.sluice)
    answers = [other.get(f"/{job_id}"), other.get(f"/{job_id}/events"), other.cancel(job_id)]
    answers.append(other.get(f"/{NOBODYS}"))
    problems = [answer.json() for answer in answers]
    assert [(p["status"], p["code"]) for p in problems] == [(404, "job_not_found")] * 4
    assert len({problem["detail"] for problem in problems}) == 1
    assert other.get("").json()["jobs"] == []
    assert caller.job(job_id)["status"] in ("queued", "processing")


@pytest.mark.parametrize("name", ["x", "0" * 32, "%00", NOBODYS.upper()])
def test_an_id_that_is_none_is_not_there(caller: Caller, name: str) -> None:
    assert caller.get(f"/{name}").status_code == 404
    assert caller.cancel(name).status_code == 404


def test_what_waits_is_dropped(caller: Caller, webui: FakeWebUI) -> None:
    webui.model.state.hold()
    first = caller.submit(seed=1)
    second = caller.submit(seed=2)
    webui.wait_for_requests(1)
    answer = caller.cancel(second)
    assert (answer.status_code, answer.json()["status"]) == (200, "canceled")
    assert answer.json()["error"]["code"] == "generation_canceled"
    webui.model.state.release()
    caller.await_status(first, "succeeded")
    assert caller.job(second)["status"] == "canceled"
    assert [body["seed"] for body in webui.bodies("txt2img")] == [1]


def test_what_runs_is_interrupted_within_two_steps(caller: Caller, webui: FakeWebUI) -> None:
    webui.model.step_latency_s = 0.25
    webui.model.state.steps_taken.clear()
    job_id, follower = caller.submit(steps=60), caller.submit(steps=1)
    webui.model.state.wait_for_step(2)
    step = webui.model.state.sampling_step
    answer = caller.cancel(job_id)
    assert (answer.status_code, answer.json()["status"]) == (200, "canceled")
    caller.await_status(follower, "succeeded")
    assert webui.model.state.steps_taken[0] <= step + 2


def test_what_is_over_cannot_be_canceled(caller: Caller) -> None:
    job_id = caller.submit()
    caller.await_status(job_id, "succeeded")
    answer = caller.cancel(job_id)
    assert (answer.status_code, answer.json()["code"]) == (409, "job_over")
    assert caller.job(job_id)["status"] == "succeeded"


def test_a_caller_who_leaves_has_canceled_his_job(caller: Caller, webui: FakeWebUI) -> None:
    webui.model.state.hold()
    data = json.dumps(SMALL).encode()
    head = "".join(f"{name}: {value}\r\n" for name, value in caller.headers.items())
    with socket.create_connection(("127.0.0.1", caller.sluice.port)) as connection:
        connection.sendall(
            f"POST {API}/txt2img HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"{head}Content-Length: {len(data)}\r\n\r\n".encode()
            + data
        )
        webui.wait_for_requests(1)
    wait_until(lambda: caller.get("?status=canceled").json()["jobs"] != [], "his job is canceled")
    webui.wait_for_requests(1, "interrupt")


def test_past_the_deadline_the_job_is_named_and_goes_on(tmp_path: Path) -> None:
    env = {**BEHIND_A_PROXY, "REQUEST_DEADLINE_S": "0.2"}
    with (
        FakeWebUI() as webui,
        running_sluice(tmp_path, {"SD_WEBUI_URL": webui.url, **env}) as sluice,
    ):
        caller = Caller(sluice)
        webui.model.state.hold()
        answer = caller.post()
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (504, "still_running")
        job_id = problem["job_id"]
        assert problem["urls"]["self"] == f"{API}/jobs/{job_id}"
        assert caller.job(job_id)["status"] == "processing"
        sluice.kill()
        webui.model.state.release()
        sluice.start()
        assert caller.await_status(job_id, "succeeded")["runs"] == 2


def test_jobs_are_kept_in_postgresql_when_that_is_named(tmp_path: Path) -> None:
    with running_postgres() as postgres, FakeWebUI() as webui:
        env = {
            "SD_WEBUI_URL": webui.url,
            "DATABASE_URL": postgres.new_database(),
            **BEHIND_A_PROXY,
        }
        with running_sluice(tmp_path, env) as sluice:
            caller = Caller(sluice)
            webui.model.state.hold()
            jobs = [caller.submit(seed=seed) for seed in range(3)]
            caller.await_status(jobs[0], "processing")
            sluice.kill()
            webui.model.state.release()
            sluice.start()
            for job_id in jobs:
                caller.await_status(job_id, "succeeded")
            assert [job["job_id"] for job in caller.get("").json()["jobs"]] == jobs[::-1]
            assert not (sluice.data_dir / "sluice.db").exists()
