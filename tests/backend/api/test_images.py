"""Images by UUID: served, conditional, in ranges, as renditions, deleted."""

from __future__ import annotations

import pytest
import requests

from tests.fake_webui import FakeWebUI
from tests.pictures import from_data_uri, opened
from tests.running import API, Sluice, running_sluice

UNKNOWN = "2f27f149-8d5f-4cb6-840f-882939b1a62c"
SMALL = {"prompt": "a red circle", "width": 128, "height": 64, "steps": 1}


@pytest.fixture
def image(sluice: Sluice) -> tuple[str, bytes]:
    """An image just made: its URL and its bytes."""
    answer = sluice.post("txt2img", json=SMALL).json()
    return answer["image_url"], from_data_uri(answer["image_base64"])


def test_an_image_is_served_as_it_was_made(sluice: Sluice, image: tuple[str, bytes]) -> None:
    url, data = image
    answer = sluice.get(url)
    assert answer.content == data
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Content-Length"] == str(len(data))
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_head_tells_the_same_without_the_bytes(sluice: Sluice, image: tuple[str, bytes]) -> None:
    url, data = image
    answer = sluice.http.head(sluice.url + url, timeout=10)
    assert answer.content == b""
    assert answer.headers["Content-Length"] == str(len(data))
    assert answer.headers["ETag"] == sluice.get(url).headers["ETag"]


def test_who_has_the_image_is_told_so(sluice: Sluice, image: tuple[str, bytes]) -> None:
    etag = sluice.get(image[0]).headers["ETag"]
    assert not etag.startswith("W/")
    again = sluice.get(image[0], headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")
    assert sluice.get(image[0], headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_range_is_served_alone(sluice: Sluice, image: tuple[str, bytes]) -> None:
    url, data = image
    part = sluice.get(url, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, data[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(data)}"
    beyond = sluice.get(url, headers={"Range": f"bytes={len(data)}-"})
    assert beyond.status_code == 416


@pytest.mark.parametrize(
    ("query", "kind", "size"),
    [
        ("format=webp&width=64", "WEBP", (64, 32)),
        ("format=jpeg", "JPEG", (128, 64)),
        ("width=32", "PNG", (32, 16)),
        ("width=2048", "PNG", (128, 64)),
    ],
)
def test_a_rendition_has_the_format_and_width_asked_for(
    sluice: Sluice, image: tuple[str, bytes], query: str, kind: str, size: tuple[int, int]
) -> None:
    answer = sluice.get(f"{image[0]}?{query}")
    picture = opened(answer.content)
    assert (picture.format, picture.size) == (kind, size)
    assert answer.headers["Content-Type"] == f"image/{kind.lower()}"
    assert sluice.get(f"{image[0]}?{query}").headers["ETag"] == answer.headers["ETag"]


@pytest.mark.parametrize(
    "query", ["format=bmp", "width=0", "width=15", "width=99999", "width=abc", "size=3"]
)
def test_a_rendition_that_makes_no_sense_is_refused_by_field(
    sluice: Sluice, image: tuple[str, bytes], query: str
) -> None:
    answer = sluice.get(f"{image[0]}?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == query.split("=")[0]


def test_a_deleted_image_is_gone_with_its_renditions(
    sluice: Sluice, image: tuple[str, bytes]
) -> None:
    url = image[0]
    assert sluice.get(f"{url}?width=32").status_code == 200
    assert sluice.http.delete(sluice.url + url, timeout=10).status_code == 204
    for gone in (url, f"{url}?width=32"):
        answer = sluice.get(gone)
        assert (answer.status_code, answer.json()["code"]) == (410, "image_gone")
    assert sluice.http.delete(sluice.url + url, timeout=10).status_code == 410


@pytest.mark.parametrize(
    "name",
    [UNKNOWN, "nope", "..%2f..%2fetc%2fpasswd", "%00", f"{{{UNKNOWN}}}", UNKNOWN.replace("-", "")],
)
def test_an_id_that_names_no_image_is_not_found(sluice: Sluice, name: str) -> None:
    answer = requests.get(f"{sluice.url}{API}/image/{name}", timeout=10)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_images_outlive_a_restart(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("restart")
    with FakeWebUI() as webui:
        env = {"SD_WEBUI_URL": webui.url, "CPU_FALLBACK": "false"}
        with running_sluice(folder, env) as before:
            made = before.post("txt2img", json=SMALL).json()
            assert before.stop() == 0
        with running_sluice(folder, env) as after:
            assert after.get(made["image_url"]).content == from_data_uri(made["image_base64"])
