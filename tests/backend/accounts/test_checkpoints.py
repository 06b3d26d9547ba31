"""A key's own checkpoints at every front door, where SD_MODEL is another's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from ai.pool_values import PoolCheckpoint
from backend.accounts.keys import ApiKey
from backend.accounts.known_keys import KnownKeys
from backend.accounts.rules import CallerRules
from tests.backend.accounts.conftest import SETTINGS, STATIC, new_key
from tests.fake_webui import TINY_A, TINY_B, FakeWebUI
from tests.running import API, Sluice, running_sluice

SMALL = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 2}
OPENAI = {"prompt": "a red circle", "size": "64x64"}


@pytest.fixture(scope="module")
def usual_a(webui: FakeWebUI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sluice]:
    """Asks for keys; tinyA is made with unless a request or a key says otherwise."""
    env = {"SD_WEBUI_URL": webui.url, **SETTINGS, "SD_MODEL": "tinyA"}
    with running_sluice(tmp_path_factory.mktemp("usual"), env) as sluice:
        yield sluice


class Holder:
    """Asks with a key for `checkpoints`, or with one for all."""

    def __init__(self, sluice: Sluice, checkpoints: str | None) -> None:
        self.sluice = sluice
        key = new_key(sluice, "--checkpoints", checkpoints) if checkpoints else STATIC
        self.headers = {"X-API-Key": key}

    def get(self, path: str) -> Any:
        return self.sluice.get(path, headers=self.headers).json()

    def post(self, path: str, body: dict[str, Any]) -> requests.Response:
        url = self.sluice.url + path
        return self.sluice.http.post(url, json=body, headers=self.headers, timeout=60)

    def makes_with(self) -> list[str]:
        """What each door takes where no checkpoint is named."""
        own = self.post(f"{API}/txt2img", SMALL).json()["model"]
        theirs = [
            self.post("/v1/images/generations", OPENAI | named).json()["model"]
            for named in ({}, {"model": "gpt-image-1"})
        ]
        info = json.loads(self.post("/sdapi/v1/txt2img", SMALL).json()["info"])
        return [own, *theirs, info["sd_model_name"]]


@pytest.mark.parametrize(
    ("allowed", "made_with"),
    [(None, "tinyA"), ("tinyB", "tinyB"), ("tinyB,tinyA", "tinyA"), ("nowhere,tinyB", "tinyB")],
)
def test_sd_model_is_taken_where_the_key_allows_it_and_else_what_that_does(
    usual_a: Sluice, allowed: str | None, made_with: str
) -> None:
    holder = Holder(usual_a, allowed)
    assert holder.makes_with() == [made_with] * 4
    assert holder.get(f"{API}/models")["default"] == made_with
    assert holder.get("/sdapi/v1/options")["sd_model_checkpoint"].startswith(made_with)


def test_only_what_a_key_may_use_is_listed_to_it(usual_a: Sluice) -> None:
    def listed(holder: Holder) -> list[list[str]]:
        return [
            [model["name"] for model in holder.get(f"{API}/models")["models"]],
            [model["id"] for model in holder.get("/v1/models")["data"]],
            [model["model_name"] for model in holder.get("/sdapi/v1/sd-models")],
        ]

    assert listed(Holder(usual_a, None)) == [["tinyA", "tinyB"]] * 3
    holder = Holder(usual_a, "tinyB")
    assert listed(holder) == [["tinyB"]] * 3
    assert holder.get("/v1/models/tinyB")["id"] == "tinyB"
    assert holder.get("/v1/models/tinyA")["error"]["code"] == "model_not_found"


@pytest.mark.parametrize("asked", ["tinyA", "TINYA", TINY_A.title, "nowhere"])
def test_no_door_gives_a_key_another_checkpoint(usual_a: Sluice, asked: str) -> None:
    holder = Holder(usual_a, "tinyB")
    chosen = holder.post("/sdapi/v1/options", {"sd_model_checkpoint": asked})
    assert (chosen.status_code, "only these checkpoints: tinyB" in chosen.json()["detail"]) == (
        403,
        True,
    )
    assert holder.makes_with() == ["tinyB"] * 4
    override = {"override_settings": {"sd_model_checkpoint": asked}}
    for path, body in (
        ("/sdapi/v1/txt2img", SMALL | override),
        ("/v1/images/generations", OPENAI | {"model": asked}),
        (f"{API}/txt2img", SMALL | {"model": asked}),
    ):
        assert holder.post(path, body).status_code == 403


def test_a_key_chooses_among_its_own_by_options(usual_a: Sluice) -> None:
    holder = Holder(usual_a, "tinyA,tinyB")
    chosen = holder.post("/sdapi/v1/options", {"sd_model_checkpoint": TINY_B.title})
    assert chosen.status_code == 200
    assert holder.makes_with() == ["tinyA"] * 3 + ["tinyB"]
    assert holder.get("/sdapi/v1/options")["sd_model_checkpoint"] == TINY_B.title


def _rules(default: str | None, **loaded: bool) -> CallerRules:
    def pool() -> list[PoolCheckpoint]:
        return [
            PoolCheckpoint(name, name, None, ("gpu",), ("gpu",) if there else (), ("cuda",))
            for name, there in loaded.items()
        ]

    return CallerRules(KnownKeys(lambda _: None, frozenset, None), pool, None, {}, default)


@pytest.mark.parametrize(
    ("allowed", "default", "taken"),
    [
        ("a b", None, "b"),
        ("b a c", "c", "c"),
        ("a c", "b", "a"),
        ("c a", None, "c"),
        ("x c", None, "c"),
        ("x y", "b", "x"),
        ("", None, None),
        ("", "b", "b"),
    ],
)
def test_of_a_keys_own_the_loaded_one_is_taken_before_the_first_there_is(
    allowed: str, default: str | None, taken: str | None
) -> None:
    key = ApiKey(
        id="aaaaaaaa",
        name="somebody",
        digest="",
        scopes=frozenset({"generate"}),
        checkpoints=tuple(allowed.split()),
        created_at=datetime.now(UTC),
    )
    assert _rules(default, a=False, b=True, c=False).default_for(key) == taken
