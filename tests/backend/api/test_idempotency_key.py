"""A request sent twice under one Idempotency-Key is done once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.backend.api.conftest import NO_LIMITS
from tests.fake_webui import FakeWebUI, Fault
from tests.pictures import b64, from_data_uri, png
from tests.running import API, Sluice, running_sluice, wait_until

BODY = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 2}
ASYNC = {"Prefer": "respond-async"}
ENV = {"CPU_FALLBACK": "false", "MAX_RETRIES": "0", "TRUSTED_PROXIES": "1", **NO_LIMITS}
_numbers = itertools.count()


@pytest.fixture(scope="module")
def webui() -> Iterator[FakeWebUI]:
    with FakeWebUI() as webui:
        yield webui


@pytest.fixture(scope="module")
def sluice(webui: FakeWebUI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sluice]:
    env = {"SD_WEBUI_URL": webui.url, **ENV}
    with running_sluice(tmp_path_factory.mktemp("keys"), env) as sluice:
        yield sluice


@pytest.fixture
def key() -> str:
    return f"key-{next(_numbers)}"


def post(
    sluice: Sluice,
    key: str,
    body: Any = None,
    route: str = "txt2img",
    **headers: str,
) -> requests.Response:
    return requests.post(
        f"{sluice.url}{API}/{route}",
        json=BODY if body is None else body,
        headers={"Idempotency-Key": key, **headers},
        timeout=60,
    )


def made(answer: requests.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def code(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_the_first_answer_is_given_again(sluice: Sluice, webui: FakeWebUI, key: str) -> None:
    asked = len(webui.bodies("txt2img"))
    first, again = (post(sluice, key) for _ in range(2))
    assert made(again) == made(first)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(webui.bodies("txt2img")) == asked + 1


def test_a_batch_of_pictures_is_given_again(sluice: Sluice, key: str) -> None:
    body = {"prompt": "a star", "image": b64(png()), "steps": 2, "batch_size": 2}
    first, again = (post(sluice, key, body, "img2img") for _ in range(2))
    assert made(again) == made(first)
    assert len(made(again)["images"]) == 2


def test_the_answer_is_given_again_as_a_url_or_as_bytes(sluice: Sluice, key: str) -> None:
    body = BODY | {"response_format": "url"}
    assert made(post(sluice, key, body)) == made(post(sluice, key, body))
    picture = {"Accept": "image/png"}
    first, again = (post(sluice, f"{key}-bytes", **picture) for _ in range(2))
    assert again.content == first.content
    for same in ("Content-Type", "X-Seed", "Content-Location"):
        assert again.headers[same] == first.headers[same]


@pytest.mark.parametrize(
    ("change", "headers"),
    [({"steps": 3}, {}), ({"seed": 7}, {}), ({"response_format": "url"}, {}), ({}, ASYNC)],
)
def test_another_request_with_the_key_is_refused(
    sluice: Sluice, key: str, change: dict[str, Any], headers: dict[str, str]
) -> None:
    made(post(sluice, key))
    refused = post(sluice, key, BODY | change, **headers)
    assert code(refused) == (422, "idempotency_key_reused")


def test_another_picture_or_another_route_is_another_request(sluice: Sluice, key: str) -> None:
    body = {"prompt": "a star", "image": b64(png()), "steps": 2}
    made(post(sluice, key, body, "img2img"))
    other = body | {"image": b64(png(colour="green"))}
    assert code(post(sluice, key, other, "img2img")) == (422, "idempotency_key_reused")
    assert code(post(sluice, key)) == (422, "idempotency_key_reused")


def test_callers_have_keys_of_their_own(sluice: Sluice, key: str) -> None:
    one, other = ({"X-Forwarded-For": address} for address in ("203.0.113.1", "203.0.113.2"))
    first, second = made(post(sluice, key, **one)), made(post(sluice, key, **other))
    assert first["image_id"] != second["image_id"]


def test_while_the_first_is_at_work_the_second_is_told_so(
    sluice: Sluice, webui: FakeWebUI, key: str
) -> None:
    webui.hold_answers_to("txt2img")
    asked = len(webui.bodies("txt2img"))
    with ThreadPoolExecutor(1) as client:
        try:
            first = client.submit(post, sluice, key)
            wait_until(lambda: len(webui.bodies("txt2img")) > asked, "the first is at work")
            conflict = post(sluice, key)
        finally:
            webui.release_answers()
        assert code(conflict) == (409, "idempotency_conflict")
        assert "Retry-After" not in conflict.headers
        assert made(first.result()) == made(post(sluice, key))


def test_of_many_at_once_one_is_made(sluice: Sluice, webui: FakeWebUI, key: str) -> None:
    asked = len(webui.bodies("txt2img"))
    with ThreadPoolExecutor(20) as clients:
        answers = list(clients.map(lambda _: post(sluice, key), range(20)))
    assert len(webui.bodies("txt2img")) == asked + 1
    assert {answer.status_code for answer in answers} <= {200, 409}
    done = [answer for answer in answers if answer.status_code == 200]
    assert len({made(answer)["image_id"] for answer in done}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in done) == 1


def test_of_many_accepted_at_once_one_is_made(sluice: Sluice, webui: FakeWebUI, key: str) -> None:
    with ThreadPoolExecutor(20) as clients:
        answers = list(clients.map(lambda _: post(sluice, key, **ASYNC), range(20)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.headers["Location"] for answer in answers}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1


def test_an_accepted_job_is_given_again_whatever_became_of_it(sluice: Sluice, key: str) -> None:
    first = post(sluice, key, **ASYNC)
    wait_until(lambda: sluice.get(first.headers["Location"]).json()["ended_at"], "the job ends")
    again = post(sluice, key, **ASYNC)
    assert again.json() == first.json()
    for same in ("Location", "Preference-Applied"):
        assert again.headers[same] == first.headers[same]


def test_a_failure_gives_the_key_up(sluice: Sluice, webui: FakeWebUI, key: str) -> None:
    webui.inject(Fault.CRASH)
    assert post(sluice, key).status_code == 502
    retried = post(sluice, key)
    assert made(retried)["image_id"]
    assert "Idempotency-Replayed" not in retried.headers


@pytest.mark.parametrize("wish", [{}, ASYNC])
@pytest.mark.parametrize("change", [{"steps": 0}, {"model": "nope"}])
def test_a_refused_request_does_not_use_the_key_up(
    sluice: Sluice, key: str, change: dict[str, Any], wish: dict[str, str]
) -> None:
    assert post(sluice, key, BODY | change, **wish).status_code == 422
    assert post(sluice, key, **wish).status_code in (200, 202)


@pytest.mark.parametrize("bad", ["", "x" * 256, "a\tb", "é"])
def test_a_key_that_is_none_is_refused(sluice: Sluice, bad: str) -> None:
    assert code(post(sluice, bad)) == (400, "invalid_idempotency_key")


def test_a_key_of_255_characters_will_do(sluice: Sluice, key: str) -> None:
    assert post(sluice, key.ljust(255, "~")).status_code == 200


def test_a_key_is_the_same_in_quotes(sluice: Sluice, key: str) -> None:
    first = made(post(sluice, key))
    assert made(post(sluice, f'"{key}"')) == first


def test_an_image_that_is_gone_is_missing_from_the_answer(sluice: Sluice, key: str) -> None:
    first = made(post(sluice, key))
    sluice.http.delete(sluice.url + first["image_url"], timeout=10)
    again = made(post(sluice, key))
    assert again["image_base64"] is None
    assert again["warnings"] == ["The image is no longer kept."]
    assert again["image_id"] == first["image_id"]
    assert code(post(sluice, key, Accept="image/png")) == (410, "image_gone")


def test_the_image_stays_the_very_one(sluice: Sluice, key: str) -> None:
    first, again = (made(post(sluice, key)) for _ in range(2))
    assert sluice.get(again["image_url"]).content == from_data_uri(first["image_base64"])


def test_a_process_that_dies_takes_no_key_with_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with (
        FakeWebUI() as webui,
        ThreadPoolExecutor(1) as client,
        running_sluice(
            tmp_path_factory.mktemp("dying"), {"SD_WEBUI_URL": webui.url, **ENV}
        ) as sluice,
    ):
        done = made(post(sluice, "done"))
        webui.hold_answers_to("txt2img")
        accepted = post(sluice, "accepted", **ASYNC)
        waiting = client.submit(post, sluice, "waited for")
        wait_until(lambda: len(sluice.get(f"{API}/jobs").json()["jobs"]) == 3, "all three are jobs")
        sluice.kill()
        assert isinstance(waiting.exception(), requests.ConnectionError)
        webui.release_answers()
        sluice.start()
        assert made(post(sluice, "done")) == done
        assert post(sluice, "accepted", **ASYNC).json() == accepted.json()
        assert "Idempotency-Replayed" not in post(sluice, "waited for").headers
        job = accepted.headers["Location"]
        wait_until(lambda: sluice.get(job).json()["status"] == "succeeded", "the job is done")
