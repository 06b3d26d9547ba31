"""The document says what is so: it is valid, its examples run, its page needs no other address."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

from backend import create_app
from backend.services import build_services
from backend.settings import Settings
from tests.fake_webui import FakeWebUI
from tests.running import API, Sluice


@pytest.fixture(scope="module")
def document(sluice: Sluice) -> Any:
    return sluice.get("/openapi.json").json()


def test_the_document_is_valid_openapi_3_1(document: Any) -> None:
    assert document["openapi"].startswith("3.1")
    validate(document)


def test_the_bounds_stand_in_the_document(document: Any) -> None:
    fields = document["components"]["schemas"]["Txt2ImgBody"]["properties"]
    assert (fields["steps"]["minimum"], fields["steps"]["maximum"]) == (1, 150)
    assert (fields["width"]["maximum"], fields["width"]["multipleOf"]) == (2048, 8)
    assert fields["prompt"]["maxLength"] == 4000


@pytest.mark.parametrize("kind", ["txt2img", "img2img", "inpainting"])
def test_every_example_runs(sluice: Sluice, document: Any, kind: str) -> None:
    content = document["paths"][f"/{kind}"]["post"]["requestBody"]["content"]
    answer = sluice.post(kind, json=content["application/json"]["example"])
    assert answer.status_code == 200, answer.text


def test_every_route_is_in_the_document(document: Any, webui: FakeWebUI, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, sd_webui_url=(webui.url,), cpu_fallback="false")
    services = build_services(settings)
    routes = {
        (method.lower(), re.sub(r"<\w+>", "{}", rule.rule.removeprefix(API)))
        for rule in create_app(services=services).url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith(API)
    }
    services.close()
    described = {
        (method, re.sub(r"{\w+}", "{}", path))
        for path, item in document["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert described == routes


def test_the_page_and_all_it_loads_come_from_here(sluice: Sluice) -> None:
    page = sluice.get("/docs")
    assert page.headers["Content-Type"].startswith("text/html")
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(links) == 3
    for link in links:
        assert link.startswith("/docs/assets/")
        assert sluice.get(link).status_code == 200
