"""Kept images through nginx, which sends them itself, by our entity tag."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import pytest
import requests

from backend.api.images import CACHE_CONTROL
from backend.storage.folders import Folders
from tests.deploy.front import Front
from tests.pictures import from_data_uri, opened
from tests.running import API, Sluice, wait_until

HSTS = "max-age=63072000"
SMALL = {"prompt": "a red circle", "width": 128, "height": 64, "steps": 1}


@dataclass(frozen=True)
class Kept:
    """An image that was made: its path below the front, its bytes."""

    path: str
    data: bytes


@pytest.fixture(scope="module")
def kept(sluice: Sluice) -> Kept:
    answer = sluice.post("txt2img", json=SMALL).json()
    return Kept(answer["image_url"], from_data_uri(answer["image_base64"]))


def get(front: Front, path: str, **headers: str) -> requests.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return front.client().get(front.url + path, headers=names, timeout=30)


def test_nginx_sends_the_bytes_and_the_gateway_only_the_headers(
    front: Front, sluice: Sluice, kept: Kept
) -> None:
    answer = get(front, kept.path)
    behind = sluice.get(kept.path)

    assert (answer.status_code, answer.content) == (200, kept.data)
    assert (behind.content, "Cache-Control" in behind.headers) == (b"", False)
    assert behind.headers["X-Accel-Redirect"].startswith("/kept/images/")
    assert "X-Accel-Redirect" not in answer.headers
    for name in ("ETag", "Content-Type", "X-Content-Type-Options"):
        assert answer.headers[name] == behind.headers[name]
    assert answer.headers["Cache-Control"] == CACHE_CONTROL
    assert answer.headers["Strict-Transport-Security"] == HSTS
    assert "RateLimit" not in answer.headers


def test_an_image_that_is_asked_for_again_is_sent_without_asking_the_gateway(
    front: Front, sluice: Sluice
) -> None:
    path = sluice.post("txt2img", json=SMALL).json()["image_url"]
    answers = [get(front, path, X_Request_ID=f"mine-{number}") for number in range(6)]
    assert {answer.content for answer in answers} == {answers[0].content}
    assert [answer.headers["X-Request-ID"] for answer in answers] == [
        f"mine-{number}" for number in range(6)
    ]
    for name in ("ETag", "Content-Type", "Cache-Control", "X-Content-Type-Options"):
        assert len({answer.headers[name] for answer in answers}) == 1
    wait_until(
        lambda: '"mine-1"' in sluice.log(), "the gateway has told of those that it was asked"
    )
    assert '"mine-5"' not in sluice.log()


def test_one_that_is_deleted_is_gone_for_all_within_seconds(front: Front, sluice: Sluice) -> None:
    path = sluice.post("txt2img", json=SMALL).json()["image_url"]
    for _ in range(3):
        assert get(front, path).status_code == 200
    assert front.client().delete(front.url + path, timeout=30).status_code == 204
    wait_until(lambda: get(front, path).status_code in (404, 410), "it is seen to be gone", 8.0)


def test_the_request_id_goes_through(front: Front, kept: Kept) -> None:
    assert get(front, kept.path, X_Request_ID="mine-1").headers["X-Request-ID"] == "mine-1"


def test_no_log_has_the_id_of_an_image_that_was_asked_for(front: Front, sluice: Sluice) -> None:
    made = sluice.post("txt2img", json=SMALL).json()
    for query in ("", "?format=webp&width=32"):
        assert get(front, made["image_url"] + query).status_code == 200
    get(front, made["image_url"], X_Request_ID="the-last-one")
    logs = [front.folder / "access.log", front.folder / "error.log"]
    wait_until(lambda: "the-last-one" in logs[0].read_text(), "nginx logs the requests")
    assert [log.name for log in logs if made["image_id"] in log.read_text()] == []
    assert made["image_id"] not in sluice.log()


def test_who_has_the_image_is_told_so(front: Front, kept: Kept) -> None:
    tag = get(front, kept.path).headers["ETag"]
    has_it = get(front, kept.path, If_None_Match=tag)
    assert (has_it.status_code, has_it.content) == (304, b"")
    assert has_it.headers["ETag"] == tag
    assert has_it.headers["Cache-Control"] == CACHE_CONTROL
    assert get(front, kept.path, If_None_Match='"other"').content == kept.data
    assert get(front, kept.path, If_None_Match="*").status_code == 304


def test_an_entity_tag_decides_before_a_date(front: Front, kept: Kept) -> None:
    made = get(front, kept.path).headers["Last-Modified"]
    assert get(front, kept.path, If_Modified_Since=made).status_code == 304
    other = get(front, kept.path, If_Modified_Since=made, If_None_Match='"other"')
    assert (other.status_code, other.content) == (200, kept.data)


def test_if_match_is_judged_by_our_entity_tag(front: Front, kept: Kept) -> None:
    tag = get(front, kept.path).headers["ETag"]
    assert get(front, kept.path, If_Match=tag).content == kept.data
    assert get(front, kept.path, If_Match='"other"').status_code == 412


def test_a_range_is_sent_alone(front: Front, kept: Kept) -> None:
    part = get(front, kept.path, Range="bytes=10-19")
    assert (part.status_code, part.content) == (206, kept.data[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(kept.data)}"
    beyond = get(front, kept.path, Range=f"bytes={len(kept.data)}-")
    assert beyond.status_code == 416
    assert beyond.headers["Content-Range"] == f"bytes */{len(kept.data)}"
    assert beyond.headers["Strict-Transport-Security"] == HSTS


def test_a_range_goes_on_only_with_the_same_image(front: Front, kept: Kept) -> None:
    tag = get(front, kept.path).headers["ETag"]
    assert get(front, kept.path, Range="bytes=10-19", If_Range=tag).status_code == 206
    whole = get(front, kept.path, Range="bytes=10-19", If_Range='"other"')
    assert (whole.status_code, whole.content) == (200, kept.data)


def test_head_tells_the_same_without_the_bytes(front: Front, kept: Kept) -> None:
    answer = front.client().head(front.url + kept.path, timeout=30)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(kept.data))
    assert answer.headers["ETag"] == get(front, kept.path).headers["ETag"]


def test_a_rendition_is_sent_by_nginx_too(front: Front, sluice: Sluice, kept: Kept) -> None:
    path = f"{kept.path}?format=webp&width=64"
    answer = get(front, path)
    assert opened(answer.content).size == (64, 32)
    assert answer.headers["Content-Type"] == "image/webp"
    assert sluice.get(path).headers["X-Accel-Redirect"].startswith("/kept/renditions/")
    assert get(front, path, If_None_Match=answer.headers["ETag"]).status_code == 304


def test_the_group_may_read_an_image_when_it_is_asked_for_and_nothing_else(
    front: Front, sluice: Sluice
) -> None:
    answer = sluice.post("txt2img", json=SMALL).json()
    path = Folders(sluice.data_dir).image(UUID(answer["image_id"]))
    assert path.stat().st_mode & 0o777 == 0o600
    assert get(front, answer["image_url"]).status_code == 200
    assert path.stat().st_mode & 0o777 == 0o640
    database = list(sluice.data_dir.glob("sluice.db*"))
    assert database
    assert {file.stat().st_mode & 0o777 for file in database} == {0o600}


@pytest.mark.parametrize("path", ["/kept/sluice.db", "/kept/images/", "/kept/../sluice.db"])
def test_the_internal_location_is_closed_to_callers(front: Front, kept: Kept, path: str) -> None:
    assert get(front, path).status_code == 404
    inside = f"/kept/images/{kept.path.rsplit('/', 1)[1][:2]}/{kept.path.rsplit('/', 1)[1]}"
    assert get(front, inside).status_code == 404


def test_without_an_image_the_gateway_answers(front: Front) -> None:
    unknown = get(front, f"{API}/image/2f27f149-8d5f-4cb6-840f-882939b1a62c")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "image_not_found")
    assert unknown.headers["Strict-Transport-Security"] == HSTS
    assert unknown.headers["X-Request-ID"] == unknown.json()["request_id"]
