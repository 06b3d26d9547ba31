"""The document says what is so: it is valid, its examples run, its page needs no other address."""

from __future__ import annotations

import re
from typing import Any

import pytest
from openapi_spec_validator import validate

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


def test_every_route_is_in_the_document(sluice: Sluice, document: Any) -> None:
    described = {
        (method, path)
        for path, item in document["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert described == {
        ("post", "/txt2img"), ("post", "/img2img"), ("post", "/inpainting"),
        ("get", "/models"), ("get", "/samplers"),
        ("get", "/image/{image_id}"), ("delete", "/image/{image_id}"),
        ("get", "/health"), ("get", "/health/live"), ("get", "/health/ready"),
    }  # fmt: skip


def test_the_page_and_all_it_loads_come_from_here(sluice: Sluice) -> None:
    page = sluice.get("/docs")
    assert page.headers["Content-Type"].startswith("text/html")
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(links) == 3
    for link in links:
        assert link.startswith("/docs/assets/")
        assert sluice.get(link).status_code == 200


def test_the_root_names_the_service_and_links(sluice: Sluice) -> None:
    root = sluice.get("/").json()
    assert root["name"] == "Sluice"
    assert root["links"]["health"] == f"{API}/health"
    for link in root["links"].values():
        assert sluice.get(link).status_code == 200


def test_a_browser_is_led_to_the_page(sluice: Sluice) -> None:
    answer = sluice.get("/", headers={"Accept": "text/html,*/*;q=0.8"}, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/docs")
