"""The fake WebUI does what the real one did when its answers were recorded."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image

from tests.fake_webui import TINY_A, TINY_B, FakeCheckpoint, FakeWebUI
from tests.fake_webui_wire import SAMPLES

Samples = dict[str, dict[str, Any]]
RECORDED: Samples = {file.stem: json.loads(file.read_text()) for file in SAMPLES.glob("*.json")}
NEEDS_A_RUNNING_JOB = {"progress-running", "txt2img-interrupted"}


@pytest.fixture
def webui() -> Iterator[FakeWebUI]:
    with FakeWebUI() as running:
        yield running


@pytest.fixture
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


def replay(http: requests.Session, webui: FakeWebUI, recorded: dict[str, Any]) -> requests.Response:
    request = recorded["request"]
    return http.request(
        request["method"],
        webui.url + request["path"],
        json=request.get("json"),
        data=request.get("body"),
        timeout=10,
    )


def post(
    http: requests.Session, webui: FakeWebUI, path: str = "txt2img", **body: Any
) -> requests.Response:
    small = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 2, "seed": 42}
    return http.post(f"{webui.url}/sdapi/v1/{path}", json=small | body, timeout=10)


def get(http: requests.Session, webui: FakeWebUI, path: str) -> Any:
    return http.get(f"{webui.url}/sdapi/v1/{path}", timeout=10).json()


def shape(value: Any) -> Any:
    """The keys and kinds of values, not the values."""
    if isinstance(value, dict):
        return {key: shape(member) for key, member in value.items()}
    if isinstance(value, list):
        return [shape(member) for member in value]
    return type(value).__name__


def pixels(encoded: str) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(BytesIO(base64.b64decode(encoded))))


def png(colour: int, size: int = 64, mode: str = "RGB") -> str:
    buffer = BytesIO()
    Image.new(mode, (size, size), colour).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.mark.parametrize("name", sorted(RECORDED.keys() - NEEDS_A_RUNNING_JOB))
def test_it_answers_with_the_status_and_the_keys_that_were_recorded(
    webui: FakeWebUI, http: requests.Session, name: str
) -> None:
    recorded = RECORDED[name]
    answer = replay(http, webui, recorded)
    assert answer.status_code == recorded["status"]
    assert answer.headers["content-type"] == recorded["headers"]["content-type"]
    assert shape(answer.json()) == shape(recorded["body"])


@pytest.mark.parametrize("name", sorted(n for n in RECORDED if RECORDED[n]["status"] != 200))
def test_its_errors_are_word_for_word_those_recorded(
    webui: FakeWebUI, http: requests.Session, name: str
) -> None:
    assert replay(http, webui, RECORDED[name]).json() == RECORDED[name]["body"]


@pytest.mark.parametrize(
    "name", ["sd-models", "samplers", "schedulers", "memory", "loras", "upscalers", "interrupt"]
)
def test_its_lists_are_word_for_word_those_recorded(
    webui: FakeWebUI, http: requests.Session, name: str
) -> None:
    assert replay(http, webui, RECORDED[name]).json() == RECORDED[name]["body"]


@pytest.mark.parametrize(
    "name",
    [
        "txt2img",
        "img2img",
        "inpainting",
        "txt2img-other-checkpoint",
        "txt2img-unknown-checkpoint",
        "txt2img-unknown-sampler",
    ],
)
def test_info_and_the_infotext_say_what_was_recorded(
    webui: FakeWebUI, http: requests.Session, name: str
) -> None:
    answer, recorded = replay(http, webui, RECORDED[name]).json(), RECORDED[name]["body"]
    drawn = {"subseed", "all_subseeds", "job_timestamp"}
    told = {k: v for k, v in json.loads(answer["info"]).items() if k not in drawn}
    expected = {k: v for k, v in json.loads(recorded["info"]).items() if k not in drawn}
    assert told == expected
    image = Image.open(BytesIO(base64.b64decode(answer["images"][0])))
    assert image.info["parameters"] == expected["infotexts"][0]
    assert image.size == (64, 64)


def test_the_progress_of_a_running_job_is_as_recorded(
    webui: FakeWebUI, http: requests.Session
) -> None:
    recorded = RECORDED["progress-running"]
    webui.model.state.hold(at_step=23)
    with ThreadPoolExecutor() as pool:
        job = pool.submit(post, http, webui, steps=60)
        webui.model.state.wait_for_step(23)
        told = replay(requests.Session(), webui, recorded).json()
        webui.model.state.release()
        assert job.result().status_code == 200
    assert shape(told) == shape(recorded["body"])
    assert told["progress"] == pytest.approx(recorded["body"]["progress"])
    assert told["state"]["job"] == "scripts_txt2img"


def test_an_interrupted_job_answers_200_with_less_of_the_picture_and_does_not_say_so(
    webui: FakeWebUI, http: requests.Session
) -> None:
    recorded = RECORDED["txt2img-interrupted"]
    webui.model.state.hold(at_step=20)
    with ThreadPoolExecutor() as pool, requests.Session() as other:
        job = pool.submit(replay, http, webui, recorded)
        webui.model.state.wait_for_step(20)
        other.post(f"{webui.url}/sdapi/v1/interrupt", timeout=10)
        partial = job.result()
    webui.model.state.release()
    whole = replay(http, webui, recorded)
    assert partial.status_code == 200
    assert shape(partial.json()) == shape(recorded["body"])
    assert json.loads(partial.json()["info"])["steps"] == 60
    assert partial.json()["images"] != whole.json()["images"]


def test_an_interrupt_with_nothing_running_does_not_touch_the_next_job(
    webui: FakeWebUI, http: requests.Session
) -> None:
    http.post(f"{webui.url}/sdapi/v1/interrupt", timeout=10)
    assert post(http, webui).json()["images"] == post(http, webui).json()["images"]


def test_before_its_first_step_a_job_shows_the_steps_of_the_one_before(
    webui: FakeWebUI, http: requests.Session
) -> None:
    post(http, webui, steps=7)
    webui.model.state.hold(at_step=0)
    with ThreadPoolExecutor() as pool, requests.Session() as other:
        job = pool.submit(post, http, webui, steps=60)
        webui.model.state.wait_for_step(0)
        assert get(other, webui, "progress")["state"]["sampling_steps"] == 7
        webui.model.state.release()
        job.result()


def test_pictures_differ_by_prompt_seed_size_and_checkpoint(
    webui: FakeWebUI, http: requests.Session
) -> None:
    variants: list[dict[str, Any]] = [
        {},
        {"prompt": "a blue square"},
        {"seed": 43},
        {"width": 72},
        {"override_settings": {"sd_model_checkpoint": "tinyB"}},
    ]
    drawn = [post(http, webui, **variant).json()["images"][0] for variant in variants]
    assert len(set(drawn)) == len(variants)
    assert post(http, webui).json()["images"][0] == drawn[0]


def test_batches_have_seeds_in_a_row(webui: FakeWebUI, http: requests.Session) -> None:
    answer = post(http, webui, batch_size=2, n_iter=2).json()
    assert json.loads(answer["info"])["all_seeds"] == [42, 43, 44, 45]
    assert len(set(answer["images"])) == 4


def test_saving_several_images_puts_a_grid_first(webui: FakeWebUI, http: requests.Session) -> None:
    answer = post(http, webui, batch_size=2, save_images=True).json()
    assert len(answer["images"]) == 3
    assert json.loads(answer["info"])["index_of_first_image"] == 1


def test_inpainting_leaves_what_is_not_masked_exactly_as_it_was(
    webui: FakeWebUI, http: requests.Session
) -> None:
    request = RECORDED["inpainting"]["request"]["json"]
    made = pixels(replay(http, webui, RECORDED["inpainting"]).json()["images"][0])
    original, mask = pixels(request["init_images"][0]), pixels(request["mask"])
    assert np.array_equal(made[mask == 0], original[mask == 0])
    assert not np.array_equal(made[mask == 255], original[mask == 255])


def test_an_init_image_or_mask_of_another_size_is_resized_silently(
    webui: FakeWebUI, http: requests.Session
) -> None:
    answer = post(http, webui, "img2img", init_images=[png(9, 32)], mask=png(255, 16, "L"))
    assert pixels(answer.json()["images"][0]).shape == (64, 64, 3)


def test_a_size_off_the_grid_is_rounded_and_info_does_not_say_so(
    webui: FakeWebUI, http: requests.Session
) -> None:
    answer = post(http, webui, width=100, height=100).json()
    assert pixels(answer["images"][0]).shape == (96, 96, 3)
    assert json.loads(answer["info"])["width"] == 100


def test_a_cfg_scale_of_nan_makes_a_black_image_and_an_info_that_is_no_json(
    webui: FakeWebUI, http: requests.Session
) -> None:
    body = '{"prompt": "x", "cfg_scale": NaN, "width": 64, "height": 64}'
    answer = http.post(f"{webui.url}/sdapi/v1/txt2img", data=body, timeout=10).json()
    assert not pixels(answer["images"][0]).any()
    assert '"cfg_scale": NaN' in answer["info"]


def test_a_checkpoint_override_switches_and_is_restored(
    webui: FakeWebUI, http: requests.Session
) -> None:
    post(http, webui, override_settings={"sd_model_checkpoint": "tinyB"})
    assert get(http, webui, "options")["sd_model_checkpoint"] == TINY_A.title
    assert webui.model.in_memory.name == TINY_B.name
    post(http, webui)
    assert webui.model.loads == ["tinyB", "tinyA"]
    assert webui.switches == 2


def test_other_overrides_leak_to_every_later_request(
    webui: FakeWebUI, http: requests.Session
) -> None:
    post(http, webui, override_settings={"samples_format": "jpeg"})
    later = post(http, webui).json()["images"][0]
    assert base64.b64decode(later).startswith(b"\xff\xd8")


def test_titles_learn_their_hash_when_the_checkpoint_is_first_loaded(
    http: requests.Session,
) -> None:
    unseen = FakeCheckpoint("tinyB", TINY_B.sha256, hash_known=False)
    with FakeWebUI(checkpoints=(TINY_A, unseen)) as webui:
        before = get(http, webui, "sd-models")[1]
        post(http, webui, override_settings={"sd_model_checkpoint": "tinyB"})
        after = get(http, webui, "sd-models")[1]
    assert (before["title"], before["hash"]) == ("tinyB.safetensors", None)
    assert (after["title"], after["hash"]) == ("tinyB.safetensors [054c987e49]", "054c987e49")


def test_options_are_a_flat_object_of_331_keys_that_can_be_set(
    webui: FakeWebUI, http: requests.Session
) -> None:
    answer = http.post(
        f"{webui.url}/sdapi/v1/options", json={"sd_model_checkpoint": "tinyB"}, timeout=10
    )
    assert (answer.status_code, answer.json()) == (200, None)
    options = get(http, webui, "options")
    assert len(options) == 331
    assert options["sd_model_checkpoint"] == "tinyB"
    assert webui.model.in_memory.name == "tinyB"


def test_skip_and_refresh_checkpoints_answer_null(webui: FakeWebUI, http: requests.Session) -> None:
    for path in ("skip", "refresh-checkpoints"):
        assert post(http, webui, path).json() is None


CRASHES: list[tuple[dict[str, Any], str]] = [
    ({"override_settings": {"nope": 1}}, "KeyError"),
    ({"width": 0}, "RuntimeError"),
    ({"width": -8}, "RuntimeError"),
    ({"width": 7}, "RuntimeError"),
    ({"steps": 0}, "ZeroDivisionError"),
    ({"batch_size": 0}, "IndexError"),
    ({"init_images": []}, "IndexError"),
    ({"init_images": [png(9)[:-40]]}, "OSError"),
]


@pytest.mark.parametrize(("body", "error"), CRASHES)
def test_what_nobody_checks_crashes(
    webui: FakeWebUI, http: requests.Session, body: dict[str, Any], error: str
) -> None:
    path = "img2img" if "init_images" in body else "txt2img"
    answer = post(http, webui, path, **body)
    assert answer.status_code == 500
    assert answer.json().keys() == {"error", "detail", "body", "message"}
    assert answer.json()["error"] == error


def test_setting_an_unknown_checkpoint_crashes(webui: FakeWebUI, http: requests.Session) -> None:
    answer = post(http, webui, "options", sd_model_checkpoint="nope")
    assert (answer.status_code, answer.json()["error"]) == (500, "RuntimeError")


def test_automatic1111_gives_crashes_and_refusals_one_shape(http: requests.Session) -> None:
    with FakeWebUI(flavour="a1111") as webui:
        crash = post(http, webui, steps=0)
        refusal = post(http, webui, "img2img")
    assert crash.json() == {
        "error": "ZeroDivisionError",
        "detail": "",
        "body": "",
        "errors": "integer division or modulo by zero",
    }
    assert refusal.json() == {
        "error": "HTTPException",
        "detail": "Init image not found",
        "body": "",
        "errors": "",
    }
    assert "distilled_cfg_scale" not in crash.text


@pytest.mark.parametrize("field", ["script_name", "alwayson_scripts"])
def test_an_unknown_script_is_refused(webui: FakeWebUI, http: requests.Session, field: str) -> None:
    body: dict[str, Any] = {field: "nope" if field == "script_name" else {"nope": {}}}
    answer = post(http, webui, **body)
    assert (answer.status_code, answer.json()) == (422, {"detail": "Script 'nope' not found"})


@pytest.mark.parametrize("raw", ["", '{"steps": "many"}', "[1]"])
def test_bodies_fastapi_cannot_take_are_422_with_a_list(
    webui: FakeWebUI, http: requests.Session, raw: str
) -> None:
    answer = http.post(f"{webui.url}/sdapi/v1/txt2img", data=raw, timeout=10)
    assert answer.status_code == 422
    assert isinstance(answer.json()["detail"], list)


def test_unknown_routes_are_404_and_wrong_methods_405(
    webui: FakeWebUI, http: requests.Session
) -> None:
    missing = http.get(f"{webui.url}/sdapi/v1/nope", timeout=10)
    wrong = http.get(f"{webui.url}/sdapi/v1/txt2img", timeout=10)
    assert (missing.status_code, missing.json()) == (404, {"detail": "Not Found"})
    assert (wrong.status_code, wrong.json()) == (405, {"detail": "Method Not Allowed"})
