"""Whatever an upstream answers, only a proper generation or an EngineError comes of it."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Callable
from typing import Any, TypeVar

import orjson
import pytest
import requests_mock
from hypothesis import example, given
from hypothesis import strategies as st

from ai.engines.a1111.answer import Reading
from ai.engines.a1111.body import read_object
from ai.engines.a1111.choice import choose
from ai.engines.a1111.facts import Known, read_known
from ai.errors import EngineError, WrongResult
from tests.ai.engines.a1111.support import (
    API,
    TIMEOUT_S,
    URL,
    engine_at,
    good_answer,
    mock_lists,
    txt2img,
)
from tests.fake_webui_wire import recorded

Made = TypeVar("Made")

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["tinyB", "Euler", "data:,", "NaN", "iVBORw0KGgo="]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
INFO_KEYS = (
    "all_seeds",
    "index_of_first_image",
    "sd_model_name",
    "sd_model_hash",
    "sampler_name",
    "steps",
    "cfg_scale",
    "extra_generation_params",
)
LISTS = ("sd_models", "samplers", "schedulers", "options", "scripts")


def webui_known() -> Known:
    options = {"sd_model_checkpoint": "tinyA.safetensors [fc01b6beb8]"}
    known = read_known(recorded("sd-models"), recorded("samplers"), recorded("schedulers"), options)
    assert known is not None
    return known


def outcome(call: Callable[[], Made]) -> Made | EngineError:
    """What is returned or, of the errors that may be, raised."""
    try:
        return call()
    except EngineError as error:
        return error


def read(body: bytes) -> None:
    """Read an answer; a generation that comes of it is as was asked."""
    request = txt2img(checkpoint="tinyA")
    known = webui_known()
    choice = choose(request, known, stand_in=False)
    made = outcome(lambda: Reading("gpu-0", request, choice, known).generation(body))
    if isinstance(made, EngineError):
        assert made.engine == "gpu-0"
        assert len(str(made)) < 200
    else:
        assert made.checkpoint == "tinyA"
        assert [(image.width, image.height) for image in made.images] == [(64, 64)]
        assert made.images[0].seed >= 0
        orjson.dumps(dict(made.parameters))


def dumps(value: object) -> bytes:
    """JSON as Python writes it, bare NaN and all; what has no UTF-8 is replaced."""
    return json.dumps(value).encode("utf-8", "replace")


def test_the_answer_that_is_changed_below_is_a_good_one() -> None:
    request, known = txt2img(checkpoint="tinyA"), webui_known()
    reading = Reading("gpu-0", request, choose(request, known, stand_in=False), known)
    assert reading.generation(dumps(good_answer())).images


def parsed(body: bytes) -> object:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def in_text(answer: dict[str, Any] | None) -> object:
    """Pictures cut out unread, as the text they are."""
    if answer is None or not isinstance(answer.get("images"), list):
        return answer
    images = [each.decode() if isinstance(each, bytes) else each for each in answer["images"]]
    return answer | {"images": images}


@given(images=st.lists(st.text(max_size=8), min_size=1, max_size=4), rest=JSON_VALUES)
@example(images=["iVBO/w==", "a\\b", 'c"d'], rest=None)
def test_pictures_are_cut_out_just_as_a_parser_would_read_them(
    images: list[str], rest: object
) -> None:
    for separators in ((",", ":"), (", ", ": ")):
        text = json.dumps({"images": images, "info": rest}, separators=separators)
        body = text.encode("utf-8", "replace")
        assert in_text(read_object(body)) == parsed(body)


@given(at=st.integers(0, 60), inserted=st.sampled_from([b'"', b",", b"]", b"}", b"\\", b" ", b""]))
def test_a_damaged_answer_is_cut_just_as_a_parser_would_read_it(at: int, inserted: bytes) -> None:
    whole = b'{"images":["iVBORw0K","Ggo=","a"],"parameters":{},"info":""}'
    for damaged in (whole[:at], whole[:at] + inserted + whole[at:], whole[:at] + whole[at + 1 :]):
        assert in_text(read_object(damaged)) == parsed(damaged)


@given(key=st.sampled_from(["images", "parameters", "info"]), value=JSON_VALUES)
@example(key="info", value="null")
@example(key="info", value="[]")
@example(key="info", value="[" * 100_000)
@example(key="info", value='{"all_seeds": [NaN]}')
@example(key="images", value=[None])
@example(key="images", value=["é"])
@example(key="images", value={"0": "x"})
def test_a_key_of_the_answer_may_hold_anything(key: str, value: object) -> None:
    read(dumps(good_answer() | {key: value}))


@given(key=st.sampled_from(INFO_KEYS), value=JSON_VALUES)
@example(key="all_seeds", value=[True])
@example(key="all_seeds", value=[1.5])
@example(key="all_seeds", value=[-1])
@example(key="index_of_first_image", value=-1)
@example(key="index_of_first_image", value=2**62)
@example(key="extra_generation_params", value={"Schedule type": ["x"]})
@example(key="sd_model_hash", value="/etc/passwd")
def test_a_key_of_info_may_hold_anything(key: str, value: object) -> None:
    read(dumps(good_answer(**{key: value})))


@given(st.sets(st.sampled_from(INFO_KEYS)))
def test_any_keys_of_info_may_be_missing(missing: set[str]) -> None:
    info = json.loads(good_answer()["info"])
    kept = {key: value for key, value in info.items() if key not in missing}
    read(dumps(good_answer() | {"info": json.dumps(kept)}))


@given(JSON_VALUES)
def test_the_answer_may_be_any_json(value: object) -> None:
    read(dumps(value))


@given(st.binary(max_size=200))
@example(b"[" * 1_000_000)
@example(b'{"images":' * 100_000)
@example(b"\xff\xfe")
def test_the_answer_may_be_any_bytes(body: bytes) -> None:
    read(body)


@given(st.data())
def test_a_picture_may_be_damaged_anywhere(data: st.DataObject) -> None:
    answer = copy.deepcopy(good_answer())
    encoded = answer["images"][0]
    at = data.draw(st.integers(0, len(encoded) - 1))
    kept = data.draw(st.integers(0, len(encoded)))
    answer["images"][0] = (encoded[:at] + data.draw(st.characters()) + encoded[at + 1 :])[:kept]
    read(dumps(answer))


@given(
    st.fixed_dictionaries(
        {
            name: JSON_VALUES
            | st.lists(
                st.fixed_dictionaries(
                    {},
                    optional=dict.fromkeys(
                        ("model_name", "title", "hash", "name", "aliases", "label"), JSON_VALUES
                    ),
                ),
                max_size=3,
            )
            for name in LISTS
        }
    )
)
def test_the_lists_may_be_any_json(lists: dict[str, Any]) -> None:
    known = read_known(**lists)
    if known is not None:
        facts = known.facts
        assert facts.samplers
        assert facts.loaded in [None, *(checkpoint.name for checkpoint in facts.checkpoints)]


@pytest.mark.parametrize("name", ["sd-models", "samplers", "schedulers", "options"])
@pytest.mark.parametrize("body", [b"<html>", b"", b"NaN", b"[" * 100_000])
def test_a_list_that_cannot_be_read_is_a_wrong_result(name: str, body: bytes) -> None:
    with requests_mock.Mocker() as mock, engine_at(URL) as engine:
        mock_lists(mock)
        mock.get(f"{API}/{name}", content=body)
        with pytest.raises(WrongResult, match="as a WebUI does"):
            engine.describe()


@pytest.mark.parametrize("name", ["sd-models", "samplers"])
@pytest.mark.parametrize("body", [None, {}, "names"])
def test_a_list_that_is_none_is_a_wrong_result(name: str, body: object) -> None:
    with requests_mock.Mocker() as mock, engine_at(URL) as engine:
        mock_lists(mock)
        mock.get(f"{API}/{name}", json=body)
        with pytest.raises(WrongResult, match="as a WebUI does"):
            engine.describe()


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        ([{"model_name": "a" * 301}, {"model_name": "b"}], ["b"]),
        ([{"model_name": ""}, {"model_name": "b\n"}, {"model_name": "b"}], ["b"]),
        ([{"model_name": "/opt/models/a"}, {"model_name": "C:\\models\\a"}], []),
        ([{"model_name": str(number)} for number in range(3000)], [str(n) for n in range(2000)]),
    ],
)
def test_lists_are_bounded_and_what_cannot_be_shown_is_left_out(
    rows: list[dict[str, str]], names: list[str]
) -> None:
    known = read_known(rows, recorded("samplers"), None, None)
    assert known is not None
    assert [checkpoint.name for checkpoint in known.facts.checkpoints] == names


def test_no_path_of_the_upstream_is_in_what_it_describes() -> None:
    row = {"model_name": "a", "title": "/opt/models/a.safetensors [123]", "filename": "/opt/a"}
    known = read_known([row], recorded("samplers"), None, {"sd_model_checkpoint": "/opt/a"})
    assert "/opt" not in repr(known)


@pytest.mark.parametrize(
    ("option", "loaded"),
    [
        ("tinyB.safetensors [054c987e49]", "tinyB"),
        ("tinyB.safetensors", "tinyB"),
        ("tinyB.safetensors [before]", "tinyB"),
        ("gone.safetensors [123]", None),
        (None, None),
    ],
)
def test_what_is_loaded_is_told_by_the_options(option: str | None, loaded: str | None) -> None:
    options = {"sd_model_checkpoint": option}
    known = read_known(recorded("sd-models"), recorded("samplers"), None, options)
    assert known is not None
    assert known.facts.loaded == loaded


def test_neither_prompts_nor_addresses_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="ai")
    with requests_mock.Mocker() as mock, engine_at("http://me:pass@webui.test:7860") as engine:
        mock_lists(mock)
        mock.post(f"{API}/txt2img", status_code=500, json={"detail": "boom"})
        with pytest.raises(EngineError):
            engine.generate(txt2img(prompt="a secret wish"), timeout_s=TIMEOUT_S)
    told = " ".join(str(vars(record)) for record in caplog.records)
    assert "boom" in told
    assert "secret wish" not in told
    assert "pass" not in told.replace("pathname", "")
    assert "webui.test" not in told
