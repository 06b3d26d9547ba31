"""Jobs taken in by either web process and made by either worker."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import orjson
import requests

from tests.backend.api.job_caller import Event
from tests.backend.receivers import Receiver, receiving
from tests.backend.scaled_out.town import Town
from tests.fake_webui import Fault
from tests.pictures import b64, mask, png
from tests.running import API, wait_until
from tests.workers import READY


def told(receiver: Receiver) -> list[str]:
    return [orjson.loads(call.body)["data"]["job_id"] for call in receiver.received]


def test_either_web_process_answers_with_pictures_that_the_other_serves(town: Town) -> None:
    left, right = town.callers()
    for asked, other, seed in ((left, right, 100), (right, left, 101)):
        answer = asked.post(seed=seed)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert (body["seed"], body["cached"], body["attempts"]) == (seed, False, 1)
        assert body["engine"] in ("gpu1-webui", "gpu2-webui")
        picture = other.sluice.get(body["image_url"])
        assert "data:image/png;base64," + b64(picture.content) == body["image_base64"]
        assert town.made(seed) == 1


def test_pictures_of_a_request_reach_the_worker(town: Town) -> None:
    left, right = town.callers()
    job_id = left.submit("inpainting", image=b64(png()), mask=b64(mask()), width=None, height=None)
    job = right.await_status(job_id, "succeeded")
    assert (job["kind"], job["runs"]) == ("inpainting", 1)
    assert left.sluice.get(job["images"][0]["image_url"]).status_code == 200


def test_both_workers_work_one_request_in_flight_for_each_webui(town: Town) -> None:
    left, right = town.callers()
    with ThreadPoolExecutor(12) as threads:
        answers = list(
            threads.map(lambda n: (left, right)[n % 2].post(seed=200 + n, steps=20), range(12))
        )
    assert {answer.status_code for answer in answers} <= {200, 503}
    good = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(good) >= 8
    assert {body["engine"] for body in good} == {"gpu1-webui", "gpu2-webui"}
    assert [webui.max_in_flight for webui in town.webuis] == [1, 1]


def test_a_job_is_watched_and_canceled_through_the_other_web_process(town: Town) -> None:
    left, right = town.callers()
    with town.held(at_step=5):
        job_id = left.submit(seed=300, steps=10)
        at_work, _ = town.busy()
        with (
            right.watching(job_id, query="?preview=true") as watched,
            left.watching(job_id) as watched_too,
        ):
            first = next(event for event in watched if event.data.get("preview"))
            assert first.name == "processing"
            assert first.data["steps"] == 10
            assert "preview" not in next(watched_too).data
            assert right.cancel(job_id).json()["status"] == "canceled"
            assert [e.name for e in watched if not e.comment][-1] == "canceled"
            assert [e.name for e in watched_too if not e.comment][-1] == "canceled"
        wait_until(lambda: not town.webuis[at_work].in_flight, "the WebUI was interrupted")
    assert left.cancel(job_id).status_code == 409
    assert left.job(job_id)["status"] == "canceled"


def test_a_queued_job_has_its_place_and_can_be_canceled(town: Town) -> None:
    left, right = town.callers()
    with town.held():
        jobs = [left.submit(seed=310 + n) for n in range(6)]
        wait_until(lambda: sum(w.in_flight for w in town.webuis) == 2, "both are at work")
        wait_until(lambda: right.job(jobs[-1])["position"] == 4, "the last is the fourth")
        with right.watching(jobs[-1]) as watched:
            event: Event = next(watched)
            assert (event.name, event.data["position"]) == ("queued", 4)
            assert left.cancel(jobs[-1]).json()["status"] == "canceled"
            assert next(watched).name == "canceled"
    for job_id in jobs[:-1]:
        left.await_status(job_id, "succeeded")
    assert town.made(315) == 0


def test_a_caller_who_leaves_frees_the_engine(town: Town) -> None:
    left, _ = town.callers()
    with town.held():
        with suppress(requests.Timeout):
            left.sluice.http.post(
                f"{left.sluice.url}{API}/txt2img",
                json={"prompt": "gone", "width": 64, "height": 64, "steps": 4, "seed": 320},
                headers=left.headers,
                timeout=1,
            )
        wait_until(lambda: not sum(w.in_flight for w in town.webuis), "the WebUI is free")
    assert left.get("?status=canceled").json()["jobs"]


def test_what_no_worker_could_make_is_refused_with_what_there_is(town: Town) -> None:
    left, right = town.callers()
    unknown = left.post(model="nowhere")
    assert (unknown.status_code, unknown.json()["code"]) == (422, "unknown_checkpoint")
    assert "tinyA" in unknown.json()["detail"]
    assert right.post(sampler_name="Nonsense").json()["code"] == "unknown_sampler"
    models = right.sluice.get(f"{API}/models").json()["models"]
    assert {"gpu1-webui", "gpu2-webui"} == set(models[0]["engines"])


def test_one_caller_may_have_so_many_waiting_over_all_web_processes(town: Town) -> None:
    left, right = town.callers()
    with town.held():
        jobs = [left.submit(seed=330 + n) for n in range(2)]
        wait_until(lambda: sum(w.in_flight for w in town.webuis) == 2, "both are at work")
        wait_until(lambda: right.job(jobs[1])["status"] == "processing", "that is known")
        jobs += [(left, right)[n % 2].submit(seed=340 + n) for n in range(6)]
        refused = left.post(seed=350)
        assert (refused.status_code, refused.json()["code"]) == (503, "queue_full")
        assert int(refused.headers["Retry-After"]) >= 1
        someone_else, _ = town.callers()
        jobs_of_another = someone_else.submit(seed=351)
    for job_id in jobs:
        right.await_status(job_id, "succeeded")
    someone_else.await_status(jobs_of_another, "succeeded")


def test_the_same_request_is_made_once_and_anew_when_that_is_asked(town: Town) -> None:
    left, right = town.callers()
    assert left.post(seed=360).json()["cached"] is False
    assert right.post(seed=360).json()["cached"] is True
    fresh = right.sluice.post(
        "txt2img",
        json={"prompt": "a red circle", "width": 64, "height": 64, "steps": 4, "seed": 360},
        headers=right.headers | {"Cache-Control": "no-cache"},
    )
    assert fresh.json()["cached"] is False
    assert town.made(360) == 2


def test_an_idempotency_key_holds_at_both_web_processes(town: Town) -> None:
    left, right = town.callers()
    for caller in (left, right):
        caller.headers = caller.headers | {"Idempotency-Key": "once"}
    first, again = left.post(seed=-1), right.post(seed=-1)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert first.json()["image_id"] == again.json()["image_id"]


def test_a_job_that_an_engine_let_down_is_made_by_the_other_worker(town: Town) -> None:
    left, _ = town.callers()
    with town.held():
        job_id = left.submit(seed=370)
        at_work, other = town.busy()
        town.webuis[at_work].stop()
    job = left.await_status(job_id, "succeeded")
    assert (job["engine"], job["runs"], job["attempts"]) == (f"gpu{other + 1}-webui", 2, 2)
    town.webuis[at_work].start()
    town.await_engines(2)


def test_a_failure_is_told_with_its_code(town: Town) -> None:
    left, _ = town.callers()
    for webui in town.webuis:
        webui.inject(Fault.NAN)
    answer = left.post(seed=380)
    assert (answer.status_code, answer.json()["code"]) == (502, "engine_made_nan")
    for webui in town.webuis:
        webui.take_fault("/sdapi/v1/txt2img")


def test_a_stalled_redis_loses_nothing(town: Town) -> None:
    left, right = town.callers()
    answers: list[requests.Response] = []
    with town.held():
        asked = threading.Thread(target=lambda: answers.append(left.post(seed=390)))
        asked.start()
        town.busy()
        with town.redis_stalled():
            jobs = [caller.submit(seed=391 + n) for n, caller in enumerate((left, right))]
            for webui in town.webuis:
                webui.model.state.release()
            for job_id in jobs:
                right.await_status(job_id, "succeeded")
            asked.join()
    assert answers[0].status_code == 200
    assert [town.made(seed) for seed in (390, 391, 392)] == [1, 1, 1]


def test_a_killed_workers_job_ends_once_on_the_other(town: Town) -> None:
    left, right = town.callers()
    with receiving() as receiver, town.held():
        job_id = left.submit(seed=400, webhook_url=receiver.url)
        at_work, other = town.busy()
        left.await_job(job_id, lambda job: job["runs"] == 1, "its start is kept")
        town.workers[at_work].kill()
        town.webuis[other].model.state.release()
        job = right.await_status(job_id, "succeeded")
        assert (job["engine"], job["runs"], job["attempts"]) == (f"gpu{other + 1}-webui", 2, 2)
        wait_until(lambda: bool(receiver.received), "the webhook came")
        town.webuis[at_work].model.state.release()
        town.workers[at_work].start()
        town.workers[at_work].await_ready()
        town.await_engines(2)
        assert told(receiver) == [job_id]
    assert town.made(400) == 2
    assert left.job(job_id)["ended_at"] == job["ended_at"]


def test_a_stopped_worker_ends_what_it_works_on_and_leaves_the_rest(town: Town) -> None:
    left, _ = town.callers()
    with town.held():
        jobs = [left.submit(seed=410 + n) for n in range(4)]
        wait_until(lambda: sum(w.in_flight for w in town.webuis) == 2, "both are at work")
        town.workers[0].process.send_signal(signal.SIGTERM)
        town.webuis[1].model.state.release()
        for seed in (410, 411, 412, 413):
            wait_until(lambda s=seed: town.made(s) == 1, "each was begun")  # type: ignore[misc]
        town.webuis[0].model.state.release()
        ended = [left.await_status(job_id, "succeeded") for job_id in jobs]
        assert town.workers[0].process.wait(timeout=30) == 0
    assert [job["runs"] for job in ended] == [1] * 4
    assert sorted(job["engine"] for job in ended).count("gpu1-webui") == 1
    town.workers[0].start()
    town.workers[0].await_ready()
    town.await_engines(2)


def test_a_worker_prints_json_lines_but_for_celerys_last_words(town: Town) -> None:
    for worker in town.workers:
        lines = worker.log().replace("\nworker: Warm shutdown (MainProcess)\n", "").splitlines()
        assert READY in [orjson.loads(line)["event"] for line in lines]
