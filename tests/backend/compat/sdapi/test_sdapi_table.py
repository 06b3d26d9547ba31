"""docs/compat.md on the WebUI: every row is sent, and what it says is so; no field is left out."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
import requests
from PIL.PngImagePlugin import PngInfo
from pydantic import BaseModel

from backend.compat.sdapi.echo import DEFAULTS, IMG2IMG_DEFAULTS, TXT2IMG_DEFAULTS
from backend.compat.sdapi.policy import IGNORED, REFUSED_UNLESS
from backend.compat.sdapi.schemas import (
    ExtraSingleImage,
    Interrogate,
    WebUIImg2Img,
    WebUITxt2Img,
)
from backend.compat.sdapi.schemas import (
    PngInfo as PngInfoBody,
)
from backend.compat.sdapi.units import ADetailerUnit, ControlNetUnit
from tests.fake_webui import FakeWebUI
from tests.pictures import b64, encoded, mask, opened, png
from tests.running import ROOT, Sluice, running_sluice

SECTION = (ROOT / "docs" / "compat.md").read_text().split("\n## WebUI API\n")[1].split("\n## ")[0]
TXT2IMG = {"prompt": "a cat", "steps": 4, "width": 64, "height": 64, "seed": 7, "subseed": 5}
IMG2IMG = {**TXT2IMG, "init_images": [b64(png())]}
TOOL = {"image": b64(png()), "upscaler_1": "Lanczos"}
BASE: dict[str, tuple[str, dict[str, Any]]] = {
    "txt2img": ("txt2img", TXT2IMG),
    "hires": ("txt2img", {**TXT2IMG, "enable_hr": True}),
    "img2img": ("img2img", IMG2IMG),
    "inpainting": ("img2img", {**IMG2IMG, "mask": b64(mask())}),
    "extra-single-image": ("extra-single-image", TOOL),
    "to a size": ("extra-single-image", {**TOOL, "resize_mode": 1}),
    "interrogate": ("interrogate", {"image": b64(png())}),
    "png-info": ("png-info", {"image": b64(png())}),
}
UNITS: dict[str, dict[str, Any]] = {
    "ControlNet": {"module": "canny", "model": "canny [1]"},
    "ADetailer": {"ad_model": "face_yolov8n.pt"},
}
GENERATIONS = ("txt2img", "img2img", "hires", "inpainting")
SENT_AS = re.compile(r"sent as `(\{.+\})`")


@dataclass(frozen=True)
class Row:
    route: str
    fields: tuple[str, ...]
    value: str
    policy: str
    told: str

    def __str__(self) -> str:
        return f"{self.route}-{'+'.join(self.fields)}-{self.value}-{self.policy}"


def rows() -> Iterator[Row]:
    for line in SECTION.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5 and cells[1].startswith("`"):
            for route in cells[0].split(", "):
                yield Row(route, tuple(re.findall(r"`(\w+)`", cells[1])), *cells[2:])


ROWS = list(rows())


def value_of(row: Row) -> Any:
    picture = b64(with_text())
    own = {
        "a picture": picture,
        "[a picture]": [picture],
        "a mask": b64(png(colour="gray", mode="L")),
    }
    return own[row.value] if row.value in own else orjson.loads(row.value.strip("`"))


def with_text() -> bytes:
    """A picture that says how it was made."""
    text = PngInfo()
    text.add_text("parameters", "a blue star\nSteps: 4, Sampler: Euler, Seed: 7")
    return encoded(opened(png(colour="olive")), pnginfo=text)


@pytest.fixture(scope="module")
def webui() -> Iterator[FakeWebUI]:
    with FakeWebUI() as webui:
        webui.model.extensions = ("adetailer",)
        yield webui


@pytest.fixture(scope="module")
def sluice(webui: FakeWebUI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sluice]:
    env = {
        "SD_WEBUI_URL": webui.url,
        "SD_MODEL": "tinyA",
        "CPU_FALLBACK": "false",
        "RATELIMIT_ENABLED": "false",
        "RESULT_CACHE": "off",
    }
    with running_sluice(tmp_path_factory.mktemp("table"), env) as sluice:
        yield sluice


@dataclass(frozen=True)
class Tried:
    """What a body was answered, and what the WebUI was asked for then: None for nothing."""

    answer: requests.Response
    sent: dict[str, Any] | None


def tried(sluice: Sluice, webui: FakeWebUI, route: str, fields: Mapping[str, object]) -> Tried:
    webui.seen.clear()
    path, body = BASE["txt2img"] if route in UNITS else BASE[route]
    if route in UNITS:
        body = body | {"alwayson_scripts": {route: {"args": [{**UNITS[route], **fields}]}}}
    else:
        body = {**body, **fields}
    answer = sluice.http.post(f"{sluice.url}/sdapi/v1/{path}", json=body, timeout=60)
    bodies = webui.bodies(path)
    sent = bodies[0] if bodies else None
    return Tried(answer, _unit(sent, route) if sent and route in UNITS else sent)


def _unit(sent: dict[str, Any], route: str) -> dict[str, Any]:
    """The one unit that was sent; nothing for none."""
    arguments = sent["alwayson_scripts"].get(route, {"args": []})["args"]
    return next((argument for argument in arguments if isinstance(argument, dict)), {})


@pytest.fixture(scope="module")
def plain(sluice: Sluice, webui: FakeWebUI) -> dict[str, Tried]:
    """How each route fares without the field in question."""
    return {route: tried(sluice, webui, route, {}) for route in (*BASE, *UNITS)}


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_what_the_table_says_of_a_field_is_so(
    row: Row, sluice: Sluice, webui: FakeWebUI, plain: dict[str, Tried]
) -> None:
    value = value_of(row)
    before = plain[row.route]
    found = tried(sluice, webui, row.route, dict.fromkeys(row.fields, value))
    if row.policy == "refused":
        assert found.answer.status_code == 422, found.answer.text
        assert found.sent is None
        named = {part for problem in found.answer.json()["detail"] for part in problem["loc"]}
        assert set(row.fields) <= named
        return
    assert found.answer.status_code == 200, found.answer.text
    as_before = found.sent == before.sent and shape(found.answer) == shape(before.answer)
    assert as_before == (row.policy == "ignored")
    for field in row.fields if row.policy == "passed" else ():
        assert found.sent is not None
        assert holds(found.sent[field], value)
        assert before.sent is not None
        assert not holds(before.sent.get(field), value)
    if sent_as := SENT_AS.search(row.told):
        assert found.sent is not None
        assert holds(found.sent, orjson.loads(sent_as[1]))


def holds(sent: Any, value: Any) -> bool:
    """Whether `sent` is `value`: objects may hold more, pictures be written otherwise."""
    if isinstance(value, dict):
        return isinstance(sent, dict) and all(
            name in sent and holds(sent[name], inner) for name, inner in value.items()
        )
    if isinstance(value, list) and isinstance(sent, list):
        return len(sent) == len(value) and all(map(holds, sent, value))
    if isinstance(value, str) and len(value) > 100 and isinstance(sent, str):
        return pixels(sent) == pixels(value)
    return bool(sent == value)


def pixels(picture: str) -> bytes:
    return opened(base64.b64decode(picture)).tobytes()


def shape(answer: requests.Response) -> object:
    """What an answer looks like: of a generation how many pictures and what else, of a tool all."""
    body = answer.json()
    if "parameters" in body and "images" in body:
        return sorted(body), len(body["images"])
    return body


def told(*routes: str) -> set[str]:
    return {field for row in ROWS if row.route in routes for field in row.fields}


def heeded(*routes: str) -> set[str]:
    verdicts = ("passed", "translated", "refused")
    chosen = [row for row in ROWS if row.route in routes and row.policy in verdicts]
    return {field for row in chosen for field in row.fields}


def fields(*models: type[BaseModel]) -> set[str]:
    return {name for model in models for name in model.model_fields}


def test_each_field_of_a_generation_is_told_of() -> None:
    known = fields(WebUITxt2Img, WebUIImg2Img) | set(REFUSED_UNLESS) | set(IGNORED)
    assert told(*GENERATIONS) == known
    assert {*DEFAULTS, *TXT2IMG_DEFAULTS, *IMG2IMG_DEFAULTS} <= known


def test_each_field_of_a_tool_is_told_of() -> None:
    tools = heeded("extra-single-image", "to a size", "interrogate", "png-info")
    assert tools == fields(ExtraSingleImage, Interrogate, PngInfoBody)


def test_each_field_of_a_unit_is_told_of() -> None:
    assert heeded("ControlNet") == fields(ControlNetUnit)
    assert heeded("ADetailer") == fields(ADetailerUnit)


def test_every_row_is_of_a_known_route_and_policy() -> None:
    assert {row.route for row in ROWS} == {*BASE, *UNITS}
    assert {row.policy for row in ROWS} == {"passed", "translated", "ignored", "refused"}
