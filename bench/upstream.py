"""The upstream of all contestants: nginx handing out what a WebUI and OpenAI answered.

The answers are recorded from the tests' WebUI, asked as Sluice's engine asks, with a real PNG
as heavy as a photograph. nginx sends them from files, so that it is never what limits.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
import requests

from ai.engines.a1111.engine import A1111Engine
from ai.generation import GenerationRequest, Img2Img, Picture, Txt2Img
from bench.nginx import nginx
from tests.fake_webui import FakeWebUI
from tests.fake_webui_pictures import encode_noise

WEBUI_ROUTES = ("options", "sd-models", "samplers", "schedulers", "memory", "progress")
"""What gateways ask besides pictures."""
SIDES = (512, 1024)
"""Of the pictures that are made, in pixels: 0.7 and 2.8 MB of JSON."""

_LOCATION = """
        root {answers};
        default_type application/json;
        sendfile on;
        tcp_nopush on;
        location / {{ error_page 405 =200 $uri; }}
        location = /status {{ stub_status; }}
"""
"""nginx refuses to POST to a file; said to answer that by the file, it does at once."""


@dataclass(frozen=True)
class Upstream:
    """Answers every request for a picture with one of the size last given to `make`."""

    port: int
    pid: int
    answers: Path
    recorded: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connections(self) -> int:
        """How many were opened to it so far, this question's included."""
        status = requests.get(f"{self.url}/status", timeout=10).text
        return int(status.splitlines()[2].split()[0])

    def make(self, side: int) -> None:
        """From now on pictures of `side` x `side`, one of SIDES."""
        for route in ("sdapi/v1/txt2img", "sdapi/v1/img2img", "v1/images/generations"):
            fresh = self.answers / "fresh"
            shutil.copy(self.recorded / str(side) / Path(route).name, fresh)
            fresh.rename(self.answers / route)


@contextmanager
def upstream(folder: Path) -> Iterator[Upstream]:
    """Serving, pictures of the smallest size at first."""
    recorded, answers = folder / "recorded", folder / "answers"
    _record(recorded, answers)
    location = _LOCATION.format(answers=answers)
    with nginx(folder / "upstream", location) as (port, pid):
        served = Upstream(port, pid, answers, recorded)
        served.make(SIDES[0])
        yield served


def _record(recorded: Path, answers: Path) -> None:
    (answers / "sdapi/v1").mkdir(parents=True)
    (answers / "v1/images").mkdir(parents=True)
    with FakeWebUI(realistic=True, cuda=True) as webui:
        engine = A1111Engine(webui.url, name="webui", tier="gpu", device="cuda")
        for route in WEBUI_ROUTES:
            answer = requests.get(f"{webui.url}/sdapi/v1/{route}", timeout=30)
            (answers / "sdapi/v1" / route).write_bytes(answer.content)
        for side in SIDES:
            _record_pictures(webui, engine, recorded / str(side), side)
        engine.close()


def _record_pictures(webui: FakeWebUI, engine: A1111Engine, folder: Path, side: int) -> None:
    folder.mkdir(parents=True)
    original = Picture(encode_noise(side, side), "image/png", side, side)
    asked: dict[str, GenerationRequest] = {
        "txt2img": Txt2Img(prompt="a red circle", width=side, height=side),
        "img2img": Img2Img(prompt="a red circle", image=original, width=side, height=side),
    }
    for route, request in asked.items():
        engine.generate(request, timeout_s=60.0)
        body = webui.bodies(route)[-1]
        answer = requests.post(f"{webui.url}/sdapi/v1/{route}", json=body, timeout=60)
        (folder / route).write_bytes(answer.content)
    picture = orjson.loads((folder / "txt2img").read_bytes())["images"][0]
    openai = {"created": 1_700_000_000, "data": [{"b64_json": picture}]}
    (folder / "generations").write_bytes(orjson.dumps(openai))
