"""A hundred bodies that are wrong in as many ways: each refused clearly, nothing left behind."""

from __future__ import annotations

import zlib
from typing import Any

import pytest
from PIL import Image

from tests import pngs
from tests.backend.api.conftest import stored_files
from tests.fake_webui import FakeWebUI
from tests.pictures import b64, data_uri, encoded, mask, png
from tests.running import API, Sluice

PROMPT = {"prompt": "a red circle"}


def _bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that announces `width` x `height` pixels."""
    pixels = pngs.chunk(b"IDAT", zlib.compress(b"\0" * 4096))
    return pngs.png(pngs.header(width, height, colour=2), pixels, pngs.END)


PNG = png()
JPEG = encoded(Image.new("RGB", (64, 64), "navy"), "JPEG")
WEBP = encoded(Image.new("RGB", (64, 64), "navy"), "WEBP")

BROKEN_PICTURES: list[Any] = [
    "", " ", "!!!notbase64", "aGVsbG8=", "data:image/png;base64,", "data:text/plain;base64,aGk=",
    "data:image/png,aGk=", "data:", "a", "=", "\x00", "é", "http://127.0.0.1/a.png",
    "https://example.com/a.png", "file:///etc/passwd", "/etc/passwd", "../../a.png",
    b64(PNG[:40]), b64(PNG[:-20]), b64(PNG[8:]), b64(JPEG[: len(JPEG) // 2]), b64(WEBP[:30]),
    b64(_bomb(60_000, 60_000)), b64(_bomb(2**31 - 1, 1)), b64(_bomb(0, 0)), b64(_bomb(64, 64)),
    b64(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), b64(b"%PDF-1.4"), b64(b"GIF89a"),
    b64(encoded(Image.new("RGB", (8, 8)), "BMP")), b64(encoded(Image.new("RGB", (8, 8)), "TIFF")),
    b64(encoded(Image.new("RGB", (8, 8)), "ICO")), b64(encoded(Image.new("RGB", (8, 8)), "PPM")),
    7, None, True, [], {}, ["aGk="], 1.5,
]  # fmt: skip

WRONG_VALUES: list[dict[str, Any]] = [
    {"prompt": ""}, {"prompt": None}, {"prompt": 1}, {"prompt": ["a"]}, {"prompt": {}},
    {"prompt": "x" * 4001}, {"prompt": "a\x00"}, {"negative_prompt": 3}, {"negative_prompt": None},
    {"negative_prompt": "x" * 4001}, {"steps": 0}, {"steps": -1}, {"steps": 151}, {"steps": "20"},
    {"steps": 1.5}, {"steps": None}, {"steps": 10**30}, {"steps": True}, {"cfg_scale": 0},
    {"cfg_scale": 31}, {"cfg_scale": "7"}, {"cfg_scale": None},
    {"width": 0}, {"width": -8}, {"width": 63}, {"width": 65}, {"width": 2056}, {"width": 10**9},
    {"height": "64"}, {"height": 72.5}, {"seed": -2}, {"seed": 2**32}, {"seed": "1"}, {"seed": 0.5},
    {"batch_size": 0}, {"batch_size": 5}, {"batch_size": None}, {"model": 1}, {"model": ""},
    {"model": "../../etc/passwd"}, {"model": "x" * 501}, {"sampler_name": "Nope"},
    {"sampler_name": 1}, {"scheduler": "nope"}, {"response_format": "png"},
    {"response_format": None},
    {"override_settings": {"outdir_samples": "/tmp"}}, {"script_name": "Custom code"},
    {"alwayson_scripts": {}}, {"init_images": []}, {"n_iter": 2}, {"save_images": True},
]  # fmt: skip

UNREADABLE: list[tuple[bytes, str, int]] = [
    (b"", "application/json", 400),
    (b"{", "application/json", 400),
    (b'{"prompt": nope', "application/json", 400),
    (b'{"prompt": "a", "cfg_scale": NaN}', "application/json", 400),
    (b'{"prompt": "a", "cfg_scale": Infinity}', "application/json", 400),
    (b"[]", "application/json", 400),
    (b'"text"', "application/json", 400),
    (b"null", "application/json", 400),
    (b"\xff\xfe", "application/json", 400),
    (b'{"prompt": "\\ud800"}', "application/json", 400),
    (b"[" * 100_000, "application/json", 400),
    (b"prompt=a", "application/x-www-form-urlencoded", 415),
    (b"a red circle", "text/plain", 415),
    (b"<prompt/>", "application/xml", 415),
    (b"--x\r\n", "multipart/form-data", 400),
    (b"nothing here", "multipart/form-data; boundary=x", 400),
]


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(sluice: Sluice, webui: FakeWebUI) -> Any:
    before, asked = (
        stored_files(sluice.data_dir),
        len(webui.bodies("txt2img") + webui.bodies("img2img")),
    )
    yield
    assert stored_files(sluice.data_dir) == before
    assert len(webui.bodies("txt2img") + webui.bodies("img2img")) == asked


def refused(answer: Any) -> dict[str, Any]:
    problem: dict[str, Any] = answer.json()
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert 400 <= answer.status_code < 500, answer.text
    assert problem["status"] == answer.status_code
    assert problem["detail"]
    assert "Traceback" not in answer.text
    return problem


@pytest.mark.parametrize("values", WRONG_VALUES, ids=lambda v: next(iter(v)) + repr(v)[-20:])
def test_a_wrong_value_names_its_field(sluice: Sluice, values: dict[str, Any]) -> None:
    answer = sluice.post("txt2img", json=PROMPT | values)
    assert refused(answer)["status"] == 422
    assert [wrong["field"] for wrong in answer.json()["errors"]] == list(values)


@pytest.mark.parametrize("picture", BROKEN_PICTURES, ids=lambda p: repr(p)[:30])
def test_a_broken_picture_is_refused(sluice: Sluice, picture: Any) -> None:
    problem = refused(sluice.post("img2img", json=PROMPT | {"image": picture}))
    assert problem["status"] in (413, 422)
    assert {wrong["field"] for wrong in problem["errors"]} == {"image"}


@pytest.mark.parametrize("picture", BROKEN_PICTURES, ids=lambda p: repr(p)[:30])
def test_a_broken_mask_is_refused(sluice: Sluice, picture: Any) -> None:
    body = PROMPT | {"image": data_uri(PNG), "mask": picture}
    assert {
        wrong["field"] for wrong in refused(sluice.post("inpainting", json=body))["errors"]
    } == {"mask"}


@pytest.mark.parametrize(("body", "content_type", "status"), UNREADABLE)
def test_an_unreadable_body_is_refused(
    sluice: Sluice, body: bytes, content_type: str, status: int
) -> None:
    answer = sluice.post("txt2img", data=body, headers={"Content-Type": content_type})
    assert refused(answer)["status"] == status


def test_a_mask_must_be_as_large_as_the_image(sluice: Sluice) -> None:
    body = PROMPT | {"image": b64(PNG), "mask": b64(mask(32, 64))}
    (wrong,) = refused(sluice.post("inpainting", json=body))["errors"]
    assert wrong["field"] == "mask"
    assert "64x64" in wrong["message"]


def test_a_compressed_body_is_refused(sluice: Sluice) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert refused(sluice.post("txt2img", data=b"x", headers=headers))["status"] == 415


@pytest.mark.parametrize("route", ["txt2img", "img2img", "inpainting"])
def test_a_field_of_20_megabytes_is_refused(sluice: Sluice, route: str) -> None:
    field = "x" * 20_000_000
    answer = sluice.post(route, data={"prompt": field}, files={"image": ("a.png", PNG)})
    assert refused(answer)["status"] == 413


def test_a_body_without_a_length_is_refused_while_it_is_read(sluice: Sluice) -> None:
    read = 0

    def endless() -> Any:
        nonlocal read
        yield b'{"prompt": "'
        while read < 200_000_000:
            read += 65536
            yield b"x" * 65536

    try:
        answer = sluice.post(
            "txt2img", data=endless(), headers={"Content-Type": "application/json"}
        )
        assert refused(answer)["status"] == 413
    except OSError:
        pass  # the server hung up on us, which is as good
    assert read < 50_000_000


def test_an_unknown_route_and_method_are_problems(sluice: Sluice) -> None:
    missing = sluice.get(f"{API}/nothing")
    assert refused(missing)["code"] == "not_found"
    wrong = sluice.get(f"{API}/txt2img")
    assert refused(wrong)["code"] == "method_not_allowed"
    assert "POST" in wrong.headers["Allow"]
