"""docs/compat.md says of each route and field what the code does with it, and of no other."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel

from backend import create_app
from backend.compat.sdapi import PATH
from backend.compat.sdapi.policy import IGNORED, REFUSED_UNLESS
from backend.compat.sdapi.schemas import (
    ExtraSingleImage,
    Interrogate,
    PngInfo,
    WebUIImg2Img,
    WebUITxt2Img,
)
from backend.compat.sdapi.units import ADetailerUnit, ControlNetUnit
from backend.services import build_services
from backend.settings import Settings
from tests.fake_webui import FakeWebUI
from tests.running import ROOT

PAGE = (ROOT / "docs" / "compat.md").read_text().partition("## WebUI API")[2].partition("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    """The cells of the table under `title`, without its head."""
    section = PAGE.partition(f"### {title}\n")[2].partition("\n### ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def verdicts(title: str) -> dict[str, str]:
    return {row[0].strip("`"): row[1] for row in rows(title)}


def fields(*models: type[BaseModel]) -> set[str]:
    return {name for model in models for name in model.model_fields}


def named(verdict: str, table: dict[str, str]) -> set[str]:
    return {name for name, told in table.items() if told == verdict}


def test_each_field_of_a_generation_is_told_of() -> None:
    table = verdicts("txt2img and img2img")
    assert named("refused", table) == set(REFUSED_UNLESS)
    assert named("ignored", table) == set(IGNORED)
    used = fields(WebUITxt2Img, WebUIImg2Img)
    assert named("passed", table) | named("translated", table) == used
    assert len(table) == len(rows("txt2img and img2img"))


def test_each_field_of_a_tool_is_told_of() -> None:
    table = verdicts("extra-single-image, interrogate, png-info")
    assert named("passed", table) == fields(ExtraSingleImage, Interrogate, PngInfo)


def test_each_field_of_a_unit_is_told_of() -> None:
    told: dict[tuple[str, str], set[str]] = {}
    for extension, names, verdict in rows("Units in alwayson_scripts"):
        told[extension, verdict] = set(re.findall(r"`(\w+)`", names))
    assert told["ControlNet", "passed"] == fields(ControlNetUnit)
    passed, refused = told["ADetailer", "passed"], told["ADetailer", "refused"]
    assert passed | refused == fields(ADetailerUnit)
    assert not passed & refused


def test_each_route_is_told_of(webui: FakeWebUI, tmp_path: Path) -> None:
    settings = Settings(
        _env_file=None, sd_webui_url=(webui.url,), cpu_fallback="false", data_dir=tmp_path
    )
    services = build_services(settings)
    try:
        rules = list(create_app(services=services).url_map.iter_rules())
    finally:
        services.close()
    there = {
        f"{method} {rule.rule.removeprefix(PATH + '/')}"
        for rule in rules
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith(PATH)
    }
    assert {row[0].strip("`") for row in rows("Routes")} == there
