"""docs/compat.md on OpenAI: every row is sent, and what it says is so; no field is left out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import orjson
import pytest
import requests
from openai.types import (
    image_create_variation_params,
    image_edit_params,
    image_generate_params,
)

from backend.compat.openai.fields import EditsBody, GenerationsBody, OpenAIBody, VariationsBody
from tests.backend.api.conftest import NO_LIMITS
from tests.fake_webui import FakeWebUI
from tests.pictures import data_uri, encoded, opened, png
from tests.running import ROOT, Sluice, running_sluice

SECTION = (ROOT / "docs" / "compat.md").read_text().split("\n## OpenAI\n")[1].split("\n## ")[0]
PICTURE = data_uri(png(64, 64, "olive"))
BASE: dict[str, dict[str, Any]] = {
    "generations": {"prompt": "a red circle", "seed": 7},
    "edits": {"prompt": "a red circle", "seed": 7, "image": data_uri(png())},
    "variations": {"seed": 7, "image": data_uri(png()), "response_format": "b64_json"},
}
SDK = {
    "generations": image_generate_params.ImageGenerateParamsStreaming,
    "edits": image_edit_params.ImageEditParamsStreaming,
    "variations": image_create_variation_params.ImageCreateVariationParams,
}
OURS: dict[str, type[OpenAIBody]] = {
    "generations": GenerationsBody,
    "edits": EditsBody,
    "variations": VariationsBody,
}


@dataclass(frozen=True)
class Row:
    route: str
    field: str
    value: str
    policy: str
    told: str

    def __str__(self) -> str:
        return f"{self.route}-{self.field}-{self.value}-{self.policy}"


def rows() -> Iterator[Row]:
    for line in SECTION.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5 and cells[1].startswith("`"):
            for route in cells[0].split(", "):
                yield Row(route, cells[1].strip("`"), cells[2], cells[3], cells[4])


ROWS = list(rows())


def value_of(row: Row) -> object:
    own = {"a picture": PICTURE, "a mask": data_uri(with_hole())}
    return own[row.value] if row.value in own else orjson.loads(row.value.strip("`"))


def with_hole() -> bytes:
    image = opened(png()).convert("RGBA")
    image.paste((0, 0, 0, 0), (16, 16, 48, 48))
    return encoded(image)


@pytest.fixture(scope="module")
def webui() -> Iterator[FakeWebUI]:
    with FakeWebUI() as webui:
        yield webui


@pytest.fixture(scope="module")
def sluice(webui: FakeWebUI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sluice]:
    env = {"SD_WEBUI_URL": webui.url, "SD_MODEL": "tinyA", "RESULT_CACHE": "off", **NO_LIMITS}
    with running_sluice(tmp_path_factory.mktemp("table"), env | {"CPU_FALLBACK": "0"}) as sluice:
        yield sluice


@pytest.fixture(scope="module")
def plain(sluice: Sluice, webui: FakeWebUI) -> dict[str, tuple[requests.Response, str]]:
    """What each route answers, and asks of the WebUI, without the field in question."""
    return {route: asked(sluice, webui, route, {}) for route in BASE}


def asked(
    sluice: Sluice, webui: FakeWebUI, route: str, fields: Mapping[str, object]
) -> tuple[requests.Response, str]:
    webui.seen.clear()
    body = {**BASE[route], **fields}
    answer = sluice.http.post(f"{sluice.url}/v1/images/{route}", json=body, timeout=60)
    bodies = webui.bodies("img2img") + webui.bodies("txt2img")
    sent = [body | {"force_task_id": ""} for body in bodies]
    return answer, orjson.dumps(sent, option=orjson.OPT_SORT_KEYS).decode()


def test_no_field_of_the_sdk_or_of_ours_is_missing() -> None:
    for route in BASE:
        told = {row.field for row in ROWS if row.route == route}
        theirs = set(get_type_hints(SDK[route]))
        assert told == theirs | OURS[route].model_fields.keys()


@pytest.mark.parametrize("row", [row for row in ROWS if "`test_" not in row.told], ids=str)
def test_what_the_table_says_of_a_field_is_so(
    row: Row,
    sluice: Sluice,
    webui: FakeWebUI,
    plain: dict[str, tuple[requests.Response, str]],
) -> None:
    value = value_of(row)
    answer, sent = asked(sluice, webui, row.route, {row.field: value})
    plain_answer, plainly_sent = plain[row.route]
    if row.policy == "refused":
        assert (answer.status_code, sent) == (400, "[]")
        assert answer.json()["error"]["param"] == row.field
        return
    assert answer.status_code == 200, answer.text
    as_before = sent == plainly_sent and shape(answer) == shape(plain_answer)
    assert as_before == (row.policy == "ignored")
    if row.policy == "passed":
        assert orjson.dumps(value).decode() in sent


def shape(answer: requests.Response) -> object:
    """What an answer looks like, but for what differs each time."""
    if not answer.headers["Content-Type"].startswith("application/json"):
        return answer.headers["Content-Type"]
    body = answer.json()
    pictures = [sorted(picture) for picture in body.pop("data")]
    return {name: value for name, value in body.items() if name != "created"}, pictures


@pytest.mark.parametrize("row", [row for row in ROWS if "`test_" in row.told], ids=str)
def test_a_row_that_another_test_proves_names_one(row: Row) -> None:
    (name,) = re.findall(r"`(test_\w+)`", row.told)
    others = Path(__file__).parent.glob("test_*.py")
    assert any(f"def {name}(" in file.read_text() for file in others)
