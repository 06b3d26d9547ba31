"""The same request again: answered from what was made, and made but once for all at a time."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.backend.api.conftest import NO_LIMITS
from tests.backend.api.test_departure import asked
from tests.fake_webui import FakeWebUI, Fault
from tests.pictures import b64, png
from tests.running import API, Sluice, running_sluice, wait_until

ENV = {"CPU_FALLBACK": "false", "MAX_RETRIES": "0", "TRUSTED_PROXIES": "1", **NO_LIMITS}
ASYNC = {"Prefer": "respond-async"}
_numbers = itertools.count()


@pytest.fixture(scope="module")
def webui() -> Iterator[FakeWebUI]:
    with FakeWebUI() as webui:
        yield webui


@pytest.fixture(scope="module")
def caching(webui: FakeWebUI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sluice]:
    env = {"SD_WEBUI_URL": webui.url, **ENV}
    with running_sluice(tmp_path_factory.mktemp("caching"), env) as sluice:
        yield sluice


@pytest.fixture
def held(webui: FakeWebUI) -> Iterator[FakeWebUI]:
    """The WebUI, which works but keeps its answers until they are released."""
    webui.hold_answers_to("txt2img")
    yield webui
    webui.release_answers()


@pytest.fixture
def body() -> dict[str, Any]:
    """A request that no test has made before."""
    prompt = f"a red circle, number {next(_numbers)}"
    return {"prompt": prompt, "width": 64, "height": 64, "steps": 2, "seed": 7}


@pytest.fixture
def clients() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(20) as clients:
        yield clients


def made(answer: requests.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def post(sluice: Sluice, body: dict[str, Any], **headers: str) -> requests.Response:
    """On a connection of its own, so that many can be under way."""
    return requests.post(f"{sluice.url}{API}/txt2img", json=body, headers=headers, timeout=60)


def generations(webui: FakeWebUI, body: dict[str, Any]) -> int:
    return sum(sent["prompt"] == body["prompt"] for sent in webui.bodies("txt2img"))


def counted(sluice: Sluice, result: str) -> float:
    sample = rf'^sluice_result_cache_total{{result="{result}"}} (.+)$'
    found = re.search(sample, sluice.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def job(sluice: Sluice, job_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = sluice.get(f"{API}/jobs/{job_id}").json()
    return answer


def ended(sluice: Sluice, job_id: str) -> dict[str, Any]:
    wait_until(lambda: job(sluice, job_id)["ended_at"] is not None, "the job ends")
    return job(sluice, job_id)


# Again, later.


def test_the_same_again_is_answered_without_an_engine(
    caching: Sluice, webui: FakeWebUI, body: dict[str, Any]
) -> None:
    first = made(caching.post("txt2img", json=body))
    hits = counted(caching, "hit")
    again = made(caching.post("txt2img", json=body))
    assert (first["cached"], again["cached"]) == (False, True)
    for same in ("image_id", "image_base64", "seed", "model", "engine", "device", "parameters"):
        assert again[same] == first[same]
    assert again["attempts"] == 0
    assert generations(webui, body) == 1
    assert counted(caching, "hit") == hits + 1


def test_a_hit_is_a_job_like_others(caching: Sluice, body: dict[str, Any]) -> None:
    first = made(caching.post("txt2img", json=body))
    accepted = caching.post("txt2img", json=body, headers=ASYNC)
    assert accepted.status_code == 202
    hit = ended(caching, accepted.json()["job_id"])
    assert (hit["status"], hit["cached"], hit["attempts"]) == ("succeeded", True, 0)
    assert hit["engine"] == first["engine"]
    assert [image["image_id"] for image in hit["images"]] == [first["image_id"]]


def test_without_a_seed_each_is_made(
    caching: Sluice, webui: FakeWebUI, body: dict[str, Any]
) -> None:
    body |= {"seed": -1}
    first, second = (made(caching.post("txt2img", json=body)) for _ in range(2))
    assert first["image_id"] != second["image_id"]
    assert generations(webui, body) == 2
    seen = made(caching.post("txt2img", json=body | {"seed": second["seed"]}))
    assert (seen["cached"], seen["image_id"]) == (True, second["image_id"])


@pytest.mark.parametrize(
    "change",
    [{"seed": 8}, {"steps": 3}, {"model": "tinyB"}, {"negative_prompt": "x"}, {"batch_size": 2}],
    ids=lambda change: next(iter(change)),
)
def test_another_request_is_made(
    caching: Sluice, body: dict[str, Any], change: dict[str, Any]
) -> None:
    body |= {"model": "tinyA"}
    made(caching.post("txt2img", json=body))
    assert made(caching.post("txt2img", json=body | change))["cached"] is False


def test_a_checkpoint_is_the_same_by_any_of_its_names(
    caching: Sluice, body: dict[str, Any]
) -> None:
    (title,) = (
        model["title"]
        for model in caching.get(f"{API}/models").json()["models"]
        if model["name"] == "tinyA"
    )
    made(caching.post("txt2img", json=body | {"model": "tinyA"}))
    assert made(caching.post("txt2img", json=body | {"model": title}))["cached"] is True


def test_what_is_loaded_by_now_decides_for_a_request_that_names_none(
    caching: Sluice, body: dict[str, Any]
) -> None:
    for model in ("tinyA", "tinyB", "tinyB"):
        made(caching.post("txt2img", json=body | {"prompt": "load it", "seed": -1, "model": model}))
        answer = made(caching.post("txt2img", json=body))
        assert answer["model"] == model
    assert answer["cached"] is True


def test_another_picture_is_another_request(caching: Sluice, body: dict[str, Any]) -> None:
    words = {"prompt": body["prompt"], "seed": 7, "steps": 2}
    pictures = [b64(png(colour=colour)) for colour in ("navy", "navy", "green")]
    answers = [
        made(caching.post("img2img", json=words | {"image": picture})) for picture in pictures
    ]
    assert [answer["cached"] for answer in answers] == [False, True, False]


def test_who_asks_for_no_cache_gets_it_made_anew(caching: Sluice, body: dict[str, Any]) -> None:
    old = made(caching.post("txt2img", json=body))
    new = made(caching.post("txt2img", json=body, headers={"Cache-Control": "no-cache"}))
    assert new["cached"] is False
    assert new["image_id"] != old["image_id"]
    assert made(caching.post("txt2img", json=body))["image_id"] == new["image_id"]


def test_an_image_that_is_gone_is_made_again(caching: Sluice, body: dict[str, Any]) -> None:
    body |= {"batch_size": 2}
    first = made(caching.post("txt2img", json=body))
    gone = first["images"][1]["image_url"]
    assert caching.http.delete(caching.url + gone, timeout=10).status_code == 204
    again = made(caching.post("txt2img", json=body))
    assert again["cached"] is False
    assert made(caching.post("txt2img", json=body))["image_id"] == again["image_id"]


def test_callers_do_not_see_what_others_had_made(caching: Sluice, body: dict[str, Any]) -> None:
    one, other = ({"X-Forwarded-For": address} for address in ("203.0.113.1", "203.0.113.2"))
    answers = [made(caching.post("txt2img", json=body, headers=h)) for h in (one, other, one)]
    assert [answer["cached"] for answer in answers] == [False, False, True]


def test_it_can_be_turned_off(
    webui: FakeWebUI, tmp_path_factory: pytest.TempPathFactory, body: dict[str, Any]
) -> None:
    env = {"SD_WEBUI_URL": webui.url, "RESULT_CACHE": "off", **ENV}
    with running_sluice(tmp_path_factory.mktemp("off"), env) as sluice:
        answers = [made(sluice.post("txt2img", json=body)) for _ in range(2)]
    assert [answer["cached"] for answer in answers] == [False, False]
    assert generations(webui, body) == 2


# At the same time.


def test_many_at_once_are_made_once(
    caching: Sluice, webui: FakeWebUI, body: dict[str, Any], clients: ThreadPoolExecutor
) -> None:
    answers = [made(a) for a in clients.map(lambda _: post(caching, body), range(20))]
    assert generations(webui, body) == 1
    assert len({answer["image_id"] for answer in answers}) == 1
    assert sorted(answer["cached"] for answer in answers) == [False] + [True] * 19


def with_follower(
    sluice: Sluice, webui: FakeWebUI, clients: ThreadPoolExecutor, body: dict[str, Any]
) -> Future[requests.Response]:
    """A request that waits for what the WebUI is making for another."""
    wait_until(lambda: generations(webui, body) == 1, "the first is at work")
    shared = counted(sluice, "shared")
    follower = clients.submit(post, sluice, body)
    wait_until(lambda: counted(sluice, "shared") == shared + 1, "the second waits for the first")
    return follower


def follower_id(sluice: Sluice) -> str:
    return str(sluice.get(f"{API}/jobs?limit=1").json()["jobs"][0]["job_id"])


def test_who_waits_for_another_sees_its_progress(
    caching: Sluice, held: FakeWebUI, body: dict[str, Any], clients: ThreadPoolExecutor
) -> None:
    first = clients.submit(post, caching, body)
    follower = with_follower(caching, held, clients, body)
    wait_until(
        lambda: job(caching, follower_id(caching))["started_at"] is not None, "it is at work too"
    )
    assert job(caching, follower_id(caching))["status"] == "processing"
    held.release_answers()
    assert made(first.result())["cached"] is False
    assert made(follower.result())["cached"] is True


def test_canceling_the_second_leaves_the_first_alone(
    caching: Sluice, held: FakeWebUI, body: dict[str, Any], clients: ThreadPoolExecutor
) -> None:
    first = clients.submit(post, caching, body)
    follower = with_follower(caching, held, clients, body)
    path = f"{caching.url}{API}/jobs/{follower_id(caching)}"
    assert caching.http.delete(path, timeout=10).json()["status"] == "canceled"
    assert follower.result().status_code == 409
    held.release_answers()
    assert made(first.result())["cached"] is False
    assert held.bodies("interrupt") == []


def test_canceling_the_first_leaves_the_second_alone(
    caching: Sluice, held: FakeWebUI, body: dict[str, Any], clients: ThreadPoolExecutor
) -> None:
    first = caching.post("txt2img", json=body, headers=ASYNC).json()
    follower = with_follower(caching, held, clients, body)
    canceled = caching.http.delete(caching.url + first["urls"]["cancel"], timeout=10)
    assert canceled.json()["status"] == "canceled"
    held.release_answers()
    assert made(follower.result())["image_id"]
    assert generations(held, body) == 1
    assert held.bodies("interrupt") == []
    assert job(caching, first["job_id"])["status"] == "canceled"


def test_canceling_both_frees_the_engine(
    tmp_path_factory: pytest.TempPathFactory, body: dict[str, Any], clients: ThreadPoolExecutor
) -> None:
    with FakeWebUI(step_latency_s=0.2) as webui:
        env = {"SD_WEBUI_URL": webui.url, **ENV}
        with running_sluice(tmp_path_factory.mktemp("both"), env) as sluice:
            body |= {"steps": 150}
            first = sluice.post("txt2img", json=body, headers=ASYNC).json()
            follower = with_follower(sluice, webui, clients, body)
            ids = (follower_id(sluice), first["job_id"])
            for job_id in ids:
                sluice.http.delete(f"{sluice.url}{API}/jobs/{job_id}", timeout=10)
            webui.wait_for_requests(1, "interrupt")
            assert follower.result().status_code == 409
            assert [job(sluice, job_id)["status"] for job_id in ids] == ["canceled"] * 2


def test_who_leaves_leaves_the_work_to_those_who_wait_for_it(
    caching: Sluice, held: FakeWebUI, body: dict[str, Any], clients: ThreadPoolExecutor
) -> None:
    connection = asked(caching, body)
    follower = with_follower(caching, held, clients, body)
    canceled = f"{API}/jobs?status=canceled&limit=100"
    before = len(caching.get(canceled).json()["jobs"])
    connection.close()
    wait_until(lambda: len(caching.get(canceled).json()["jobs"]) == before + 1, "it is canceled")
    held.release_answers()
    made(follower.result())
    assert generations(held, body) == 1
    assert held.bodies("interrupt") == []


def test_what_fails_for_the_first_is_made_for_the_second(
    caching: Sluice, held: FakeWebUI, body: dict[str, Any], clients: ThreadPoolExecutor
) -> None:
    held.inject(Fault.CRASH)
    first = clients.submit(post, caching, body)
    follower = with_follower(caching, held, clients, body)
    held.release_answers()
    assert first.result().status_code == 502
    assert made(follower.result())["cached"] is False
    assert generations(held, body) == 2
