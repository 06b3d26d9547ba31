"""The openai SDK as it is, pointed here: everything it does with images works."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import openai
import pytest
from openai import OpenAI
from openai.types import ImagesResponse
from PIL import Image

from tests.backend.api.conftest import NO_LIMITS
from tests.fake_webui import FakeWebUI, Fault
from tests.pictures import encoded, opened, png
from tests.running import Sluice, running_sluice, wait_until

SMALL = {"model": "gpt-image-2.5-flare", "prompt": "a red circle", "size": "64x64"}
PLACES = 4
KEY = "a-key-of-the-environment"


@pytest.fixture(scope="module")
def webui() -> Iterator[FakeWebUI]:
    with FakeWebUI() as webui:
        yield webui


@pytest.fixture(scope="module")
def sluice(webui: FakeWebUI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sluice]:
    env = {"SD_WEBUI_URL": webui.url, "CPU_FALLBACK": "false", "THREADS": str(2 * PLACES)}
    with running_sluice(tmp_path_factory.mktemp("openai"), env | NO_LIMITS) as sluice:
        yield sluice


@pytest.fixture
def client(sluice: Sluice, webui: FakeWebUI) -> Iterator[OpenAI]:
    webui.seen.clear()
    with client_of(sluice) as client:
        yield client
    webui.model.state.release()
    wait_until(lambda: not under_way(sluice), "the jobs of the test end")


def under_way(sluice: Sluice) -> int:
    jobs = sluice.get("/api/v1/ai/generation/jobs").json()["jobs"]
    return sum(job["status"] in ("queued", "processing") for job in jobs)


def client_of(sluice: Sluice, *, max_retries: int = 0, api_key: str = "none") -> OpenAI:
    return OpenAI(base_url=f"{sluice.url}/v1", api_key=api_key, max_retries=max_retries, timeout=60)


def generate(client: OpenAI, **fields: object) -> Any:
    """A small picture; the SDK's own types know each of its words, and so not any of them."""
    return cast("Any", client.images).generate(**SMALL | fields)


def edit(client: OpenAI, **fields: object) -> Any:
    good = {"image": png(), "prompt": "a green star"}
    return cast("Any", client.images).edit(**good | fields)


def pictures(answer: ImagesResponse) -> list[bytes]:
    assert answer.data
    return [base64.b64decode(image.b64_json or "") for image in answer.data]


def with_hole(*, hole: int = 0) -> bytes:
    """A red picture whose middle is transparent, as far as alpha `hole` lets through."""
    image = Image.new("RGBA", (64, 64), "red")
    image.paste((0, 0, 0, hole), (16, 16, 48, 48))
    return encoded(image)


# Pictures from words.


def test_pictures_are_made_in_the_size_and_number_asked_for(
    client: OpenAI, webui: FakeWebUI
) -> None:
    answer = generate(client, n=2, quality="high", user="somebody")
    assert [opened(data).size for data in pictures(answer)] == [(64, 64)] * 2
    assert (answer.output_format, answer.size, answer.quality) == ("png", "64x64", "high")
    assert answer.background == "opaque"
    assert abs(answer.created - time.time()) < 600
    assert answer.usage.total_tokens == 0
    (body,) = webui.bodies("txt2img")
    assert (body["prompt"], body["batch_size"], body["steps"]) == ("a red circle", 2, 40)


def test_left_to_itself_it_makes_one_png_of_512(client: OpenAI, webui: FakeWebUI) -> None:
    answer = client.images.generate(prompt="a red circle", size="auto", quality="auto")
    (data,) = pictures(answer)
    assert (opened(data).format, opened(data).size) == ("PNG", (512, 512))
    assert webui.bodies("txt2img")[0]["steps"] == 20


def test_a_png_is_the_very_bytes_the_engine_made(client: OpenAI, sluice: Sluice) -> None:
    answer = generate(client, response_format="b64_json")
    (data,) = pictures(answer)
    assert b"tEXtparameters" in data


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
def test_another_format_is_made_of_it_as_small_as_asked(client: OpenAI, kind: str) -> None:
    sizes = []
    for compression in (5, 95):
        answer = generate(
            client,
            output_format=kind,
            output_compression=compression,
        )
        (data,) = pictures(answer)
        assert (opened(data).format, answer.output_format) == (kind.upper(), kind)
        sizes.append(len(data))
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_a_url_is_one_that_can_be_fetched(client: OpenAI, sluice: Sluice, kind: str) -> None:
    answer = generate(client, response_format="url", output_format=kind)
    (image,) = answer.data
    assert image.b64_json is None
    assert image.url.startswith(f"{sluice.url}/")
    fetched = sluice.http.get(image.url, timeout=10)
    assert fetched.headers["Content-Type"] == f"image/{kind}"
    assert opened(fetched.content).size == (64, 64)


def test_what_used_to_answer_with_urls_still_does(client: OpenAI) -> None:
    answer = generate(client, model="dall-e-3", style="natural", quality="hd")
    assert answer.data[0].url.startswith("http")


# Pictures from pictures.


def test_what_is_transparent_in_the_mask_is_painted_anew(client: OpenAI, webui: FakeWebUI) -> None:
    answer = client.images.edit(
        image=("picture.png", png()), mask=with_hole(), prompt="a green star", n=2
    )
    assert [opened(data).size for data in pictures(answer)] == [(64, 64)] * 2
    (body,) = webui.bodies("img2img")
    mask = sent_mask(body)
    assert (mask.getpixel((0, 0)), mask.getpixel((32, 32))) == (0, 255)
    assert body["inpainting_mask_invert"] == 0


def test_a_mask_half_transparent_is_half_white(client: OpenAI, webui: FakeWebUI) -> None:
    client.images.edit(image=png(), mask=with_hole(hole=100), prompt="a green star")
    assert sent_mask(webui.bodies("img2img")[0]).getpixel((32, 32)) == 155


def test_without_a_mask_the_picture_s_own_holes_are_it(client: OpenAI, webui: FakeWebUI) -> None:
    client.images.edit(image=[with_hole()], prompt="a green star")
    assert sent_mask(webui.bodies("img2img")[0]).getpixel((32, 32)) == 255


def test_without_any_mask_all_is_painted_anew(client: OpenAI, webui: FakeWebUI) -> None:
    answer = client.images.edit(
        image=png(128, 64), prompt="a green star", input_fidelity="high", size="auto"
    )
    assert opened(pictures(answer)[0]).size == (128, 64)
    (body,) = webui.bodies("img2img")
    assert body.get("mask") is None
    assert body["denoising_strength"] == 0.5


def test_a_variation_needs_no_words(client: OpenAI, webui: FakeWebUI, sluice: Sluice) -> None:
    with pytest.deprecated_call():
        answer = client.images.create_variation(image=png(), n=2, size="512x512")
    assert answer.data
    assert len(answer.data) == 2
    assert answer.data[0].url
    assert opened(sluice.http.get(answer.data[0].url, timeout=10).content).size == (512, 512)
    (body,) = webui.bodies("img2img")
    assert body["prompt"]
    assert body["denoising_strength"] == 0.6


def sent_mask(body: dict[str, str]) -> Image.Image:
    return opened(base64.b64decode(body["mask"].split(",")[-1])).convert("L")


# Streams.


@pytest.mark.parametrize("edits", [False, True])
def test_a_stream_shows_how_it_comes_to_be(client: OpenAI, webui: FakeWebUI, edits: bool) -> None:
    webui.model.state.hold(at_step=14)
    ask, what = (edit, "image_edit") if edits else (generate, "image_generation")
    told = ask(client, size="64x64", stream=True, partial_images=2)
    first, second = next(told), next(told)
    webui.model.state.release()
    (last,) = list(told)
    assert [first.type, second.type, last.type] == [f"{what}.partial_image"] * 2 + [
        f"{what}.completed"
    ]
    assert [first.partial_image_index, second.partial_image_index] == [0, 1]
    assert opened(base64.b64decode(first.b64_json)).size
    assert opened(base64.b64decode(last.b64_json)).size == (64, 64)
    assert (last.size, last.output_format, last.background) == ("64x64", "png", "opaque")
    assert last.usage.total_tokens == 0


def test_a_stream_without_previews_is_its_end(client: OpenAI) -> None:
    told = generate(client, stream=True, n=2, output_format="webp")
    events = list(told)
    assert [event.type for event in events] == ["image_generation.completed"] * 2
    assert opened(base64.b64decode(events[0].b64_json)).format == "WEBP"


def test_what_goes_wrong_in_a_stream_is_raised_there(client: OpenAI, webui: FakeWebUI) -> None:
    webui.inject(Fault.OOM)
    told = generate(client, stream=True)
    with pytest.raises(openai.APIError) as raised:
        list(told)
    assert raised.value.code == "engine_out_of_memory"
    assert raised.value.type == "server_error"


def test_who_closes_a_stream_frees_the_engine(client: OpenAI, webui: FakeWebUI) -> None:
    webui.model.state.hold(at_step=19)
    told = generate(client, stream=True, partial_images=1)
    next(told)
    told.close()
    webui.wait_for_requests(1, "interrupt")


def test_streams_are_counted_among_those_who_watch(
    client: OpenAI, sluice: Sluice, webui: FakeWebUI
) -> None:
    webui.model.state.hold()
    streams = [generate(client, stream=True) for _ in range(PLACES)]
    with pytest.raises(openai.InternalServerError) as refused:
        generate(client, stream=True)
    assert refused.value.code == "too_many_watchers"
    assert under_way(sluice) == PLACES
    for stream in streams:
        stream.close()


# What there is.


def test_the_checkpoints_are_the_models(client: OpenAI, webui: FakeWebUI) -> None:
    models = list(client.models.list())
    assert [model.id for model in models] == ["tinyA", "tinyB"]
    assert (models[0].object, models[0].owned_by) == ("model", "sluice")
    assert client.models.retrieve("tinyB").id == "tinyB"
    with pytest.raises(openai.NotFoundError) as missing:
        client.models.retrieve("gpt-9")
    assert missing.value.code == "model_not_found"


def test_a_checkpoint_is_asked_for_by_its_name(client: OpenAI, webui: FakeWebUI) -> None:
    generate(client, model="tinyB")
    sent = webui.bodies("txt2img")[-1]["override_settings"]["sd_model_checkpoint"]
    assert sent.startswith("tinyB")


# Errors.


def refused(call: Callable[[], object]) -> openai.APIStatusError:
    with pytest.raises(openai.APIStatusError) as raised:
        call()
    assert raised.value.request_id
    return raised.value


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"n": 5}, "n"),
        ({"n": 0}, "n"),
        ({"size": "100x100"}, "size"),
        ({"size": "8192x8192"}, "size"),
        ({"size": "large"}, "size"),
        ({"prompt": ""}, "prompt"),
        ({"quality": "best"}, "quality"),
        ({"background": "transparent"}, "background"),
        ({"output_format": "gif"}, "output_format"),
        ({"output_compression": 50}, "output_compression"),
        ({"partial_images": 4}, "partial_images"),
        ({"frame_count": 3}, "frame_count"),
        ({"stream": True, "response_format": "url"}, "response_format"),
        ({"model": "no-such"}, "model"),
    ],
)
def test_a_wrong_value_is_a_bad_request_that_names_its_parameter(
    client: OpenAI, webui: FakeWebUI, wrong: dict[str, object], param: str
) -> None:
    error = refused(lambda: generate(client, **wrong))
    assert isinstance(error, openai.BadRequestError)
    assert (error.type, error.param) == ("invalid_request_error", param)
    assert error.code == ("model_not_found" if param == "model" else "invalid_value")
    assert error.message
    assert webui.bodies("txt2img") == []


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"image": [png(), png()]}, "image"),
        ({"image": b"no picture"}, "image"),
        ({"mask": png()}, "mask"),
        ({"mask": encoded(Image.new("RGBA", (32, 32)))}, "mask"),
    ],
)
def test_a_wrong_picture_is_a_bad_request_too(
    client: OpenAI, wrong: dict[str, object], param: str
) -> None:
    error = refused(lambda: edit(client, **wrong))
    assert isinstance(error, openai.BadRequestError)
    assert error.param == param


def test_what_is_not_there_is_not_found(client: OpenAI) -> None:
    error = refused(lambda: client.get("/nothing", cast_to=object))
    assert isinstance(error, openai.NotFoundError)
    assert error.type == "invalid_request_error"


def test_an_engine_that_fails_is_a_server_error(client: OpenAI, webui: FakeWebUI) -> None:
    webui.inject(Fault.OOM)
    error = refused(lambda: generate(client))
    assert isinstance(error, openai.InternalServerError)
    assert (error.status_code, error.type) == (502, "server_error")


def test_over_the_limit_the_sdk_waits_as_told_and_comes_back(
    webui: FakeWebUI, tmp_path: Path
) -> None:
    env = {"SD_WEBUI_URL": webui.url, "CPU_FALLBACK": "false", "RATELIMIT_GENERATION": "1/3second"}
    with running_sluice(tmp_path, env) as limited:
        with client_of(limited) as impatient:
            refused(lambda: generate(impatient, n=0))
            error = refused(lambda: generate(impatient))
        assert isinstance(error, openai.RateLimitError)
        assert error.code == "rate_limit_exceeded"
        assert int(error.response.headers["retry-after"]) >= 1
        with client_of(limited, max_retries=3) as patient:
            assert generate(patient).data


def test_a_wrong_key_is_an_authentication_error(webui: FakeWebUI, tmp_path: Path) -> None:
    env = {"SD_WEBUI_URL": webui.url, "CPU_FALLBACK": "false", "AUTH": "keys", "API_KEY": KEY}
    with running_sluice(tmp_path, env) as closed:
        with client_of(closed, api_key="wrong") as stranger:
            for call in (lambda: generate(stranger), lambda: stranger.models.list()):
                error = refused(call)
                assert isinstance(error, openai.AuthenticationError)
                assert error.code == "invalid_api_key"
        with client_of(closed, api_key=KEY) as known:
            (image,) = generate(known, response_format="url").data
            assert list(known.models.list())
        assert opened(closed.http.get(image.url, timeout=10).content).size == (64, 64)


def test_a_job_that_goes_on_is_not_asked_for_again(tmp_path: Path) -> None:
    with FakeWebUI() as webui:
        webui.model.state.hold()
        env = {"SD_WEBUI_URL": webui.url, "CPU_FALLBACK": "false", "REQUEST_DEADLINE_S": "0.2"}
        with running_sluice(tmp_path, env) as hasty, client_of(hasty, max_retries=2) as client:
            error = refused(lambda: generate(client))
            assert (error.status_code, error.code) == (504, "still_running")
            assert under_way(hasty) == 1
            webui.model.state.release()
            wait_until(lambda: not under_way(hasty), "the job that went on ends")
        assert len(webui.bodies("txt2img")) == 1
