"""What the tests of the WebUI's engine share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import requests_mock
from PIL import Image, ImageDraw

from ai.engines.a1111.engine import A1111Engine
from ai.generation import Generation, Img2Img, Inpainting, Picture, Txt2Img
from tests.fake_webui import FakeWebUI
from tests.fake_webui_wire import recorded

URL = "http://webui.test:7860"
API = f"{URL}/sdapi/v1"
SIZE = 64
TIMEOUT_S = 10.0

Start = Callable[..., Future[Generation]]


@contextmanager
def engine_at(url: str, **options: Any) -> Iterator[A1111Engine]:
    """An engine named gpu-0, closed at the end."""
    engine = A1111Engine(url, name="gpu-0", tier="gpu", device="cuda", **options)
    try:
        yield engine
    finally:
        engine.close()


def running_at(webui: FakeWebUI, start: Start, step: int, **changes: Any) -> Future[Generation]:
    """A generation that is held at `step`."""
    webui.model.state.hold(step)
    made = start(**changes)
    webui.model.state.wait_for_step(step)
    return made


def txt2img(**changes: Any) -> Txt2Img:
    return Txt2Img(**_small(changes))


def img2img(**changes: Any) -> Img2Img:
    return Img2Img(**_small({"image": picture("red")} | changes))


def inpainting(**changes: Any) -> Inpainting:
    """The left half is repainted."""
    return Inpainting(**_small({"image": picture("red"), "mask": mask()} | changes))


def _small(changes: dict[str, Any]) -> dict[str, Any]:
    asked = {"prompt": "a red circle", "width": SIZE, "height": SIZE, "steps": 2, "seed": 42}
    return asked | changes


def picture(colour: str) -> Picture:
    return _as_picture(Image.new("RGB", (SIZE, SIZE), colour))


def mask() -> Picture:
    image = Image.new("L", (SIZE, SIZE), "black")
    ImageDraw.Draw(image).rectangle((0, 0, SIZE // 2 - 1, SIZE), fill="white")
    return _as_picture(image)


def _as_picture(image: Image.Image) -> Picture:
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return Picture(buffer.getvalue(), "image/png", *image.size)


def mock_lists(mock: requests_mock.Mocker) -> None:
    """Let the address answer what describe asks, as the recorded WebUI did."""
    for name in ("sd-models", "samplers", "schedulers", "scripts"):
        mock.get(f"{API}/{name}", json=recorded(name))
    mock.get(f"{API}/options", json={"sd_model_checkpoint": "tinyA.safetensors [fc01b6beb8]"})


def good_answer(**info: Any) -> dict[str, Any]:
    """The recorded answer to txt2img with the seed 42, `info` changed as said."""
    answer = dict(recorded("txt2img"))
    return answer | {"info": json.dumps(json.loads(answer["info"]) | info)}
