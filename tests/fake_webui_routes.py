"""The fake WebUI's routes: method and path to an answer."""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import partial
from typing import Any

import orjson

from tests import fake_webui_pictures as pictures
from tests.fake_webui_faults import Fault
from tests.fake_webui_model import FakeModel
from tests.fake_webui_tools import CONTROLNET, LISTS, TOOLS, described, enlarged, use_tool
from tests.fake_webui_wire import (
    Answer,
    Json,
    NoRoute,
    json_answer,
    read_json_body,
    recorded,
    require_integers,
)

PREFIX = "/sdapi/v1/"
GENERATIONS = ("txt2img", "img2img")
LOCKING = (*GENERATIONS, *TOOLS)
"""What takes the one lock: in flight while it runs or waits."""
SDCPP_PATHS = frozenset(
    ("txt2img", "img2img", "samplers", "schedulers", "sd-models", "options", "loras", "upscalers")
)
_HUGE = 64 * 2**20


class Routes:
    """Everything under /sdapi/v1/. `cuda` gives GET memory a GPU; `missing` are 404."""

    def __init__(self, model: FakeModel, *, cuda: bool = False) -> None:
        self._model = model
        self._cuda = cuda
        self.missing: set[str] = set()
        self._get: dict[str, Callable[[str], Any]] = {
            "sd-models": lambda _: model.list_checkpoints(),
            "samplers": lambda _: model.list_samplers(),
            "schedulers": lambda _: model.list_schedulers(),
            "options": lambda _: model.all_options(),
            "memory": lambda _: self._memory(),
            "progress": self._progress,
            "loras": lambda _: recorded("loras"),
            "upscalers": lambda _: recorded("upscalers"),
            "embeddings": lambda _: recorded("embeddings"),
            "scripts": lambda _: model.scripts(),
            **{name: partial(_same, listed) for name, listed in LISTS.items()},
        }
        self._post: dict[str, Callable[[bytes], Any]] = {
            "interrupt": lambda _: self._interrupt(),
            "skip": lambda _: model.state.skip(),
            "refresh-checkpoints": lambda _: None,
            "options": lambda raw: model.set_options(read_json_body(raw)),
            "extra-single-image": lambda raw: use_tool(model, enlarged, read_json_body(raw)),
            "interrogate": lambda raw: use_tool(model, described, read_json_body(raw)),
        }

    def answer(self, method: str, path: str, query: str, raw: bytes, fault: Fault | None) -> Answer:
        """Raises Refusal, Crash or NoRoute."""
        if method == "GET" and path in CONTROLNET and self._model.flavour == "forge":
            return json_answer(CONTROLNET[path])
        name = path.removeprefix(PREFIX)
        if not path.startswith(PREFIX) or not self._is_here(name):
            raise NoRoute
        if method == "POST" and name in GENERATIONS:
            return self._generate(name, raw, fault)
        if method == "POST" and name in self._post:
            return json_answer(self._post[name](raw))
        if method == "GET" and name in self._get:
            return json_answer(self._get[name](query))
        raise NoRoute(405)

    def _is_here(self, name: str) -> bool:
        if name in self.missing:
            return False
        if self._model.flavour == "sdcpp":
            return name in SDCPP_PATHS
        return name in GENERATIONS or name in self._get or name in self._post

    def _generate(self, kind: str, raw: bytes, fault: Fault | None) -> Answer:
        body = read_json_body(raw)
        require_integers(body, "steps", "width", "height", "batch_size", "n_iter", "seed")
        made = self._model.generate(kind, body, fault)
        if fault == Fault.NOT_JSON:
            return Answer(200, b"<html>It works!</html>", {"Content-Type": "text/html"})
        if fault == Fault.HUGE_ANSWER:
            return json_answer(made | {"images": ["A" * _HUGE]})
        return json_answer(_spoil(made, fault) if fault else made)

    def _interrupt(self) -> Json:
        self._model.state.interrupt()
        return {}

    def _progress(self, query: str) -> Json:
        preview = None
        if "skip_current_image=true" not in query.lower():
            pixels = pictures.make_pixels(0, "preview", width=16, height=16)
            preview = base64.b64encode(pictures.encode_png(pixels)).decode()
        return self._model.state.progress(preview)

    def _memory(self) -> Json:
        memory = dict(recorded("memory"))
        if self._cuda:
            gib = 2**30
            memory["cuda"] = {
                "system": {"free": 20 * gib, "used": 4 * gib, "total": 24 * gib},
                "events": {"retries": 0, "oom": 0},
            }
        return memory


def _same(listed: Any, _query: str) -> Any:
    return listed


def _spoil(made: Json, fault: Fault) -> Json:
    """A good answer, made wrong in one way."""
    images: list[str] = made["images"]
    info = orjson.loads(made["info"]) if made["info"] else {}
    if fault in _SPOILT_INFO:
        return made | {"info": orjson.dumps(info | _SPOILT_INFO[fault]).decode()}
    if fault in _SPOILT_IMAGES:
        return made | {"images": _SPOILT_IMAGES[fault](images)}
    if fault == Fault.GRID_FIRST:
        shifted = info | {"index_of_first_image": 1}
        return made | {"images": [images[0], *images], "info": orjson.dumps(shifted).decode()}
    if fault == Fault.NAN_IN_INFO:
        return made | {"info": made["info"].replace('"cfg_scale":', '"cfg_scale":NaN,"was":')}
    if fault == Fault.INFO_NOT_JSON:
        return made | {"info": "Steps: 20, Sampler: Euler a"}
    gone = {Fault.NO_IMAGES_KEY: "images", Fault.NO_INFO_KEY: "info"}.get(fault)
    return {key: value for key, value in made.items() if key != gone}


_SPOILT_INFO: dict[Fault, Json] = {
    Fault.WRONG_CHECKPOINT: {"sd_model_name": "another", "sd_model_hash": "0123456789"},
    Fault.WRONG_SAMPLER: {"sampler_name": "DPM++ 2M"},
    Fault.TOO_FEW_SEEDS: {"all_seeds": []},
}


def _picture_of_another_size(_: list[str]) -> list[str]:
    pixels = pictures.make_pixels(0, "other", width=24, height=40)
    return [base64.b64encode(pictures.encode_png(pixels)).decode()]


_SPOILT_IMAGES: dict[Fault, Callable[[list[str]], list[str]]] = {
    Fault.WRONG_SIZE: _picture_of_another_size,
    Fault.TOO_FEW_IMAGES: lambda images: images[:-1],
    Fault.DETECTION_MAPS: lambda images: images + _picture_of_another_size(images),
    Fault.TRUNCATED_PNG: lambda images: [images[0][: len(images[0]) // 8 * 4]],
    Fault.NOT_A_PICTURE: lambda _: [base64.b64encode(b"no picture at all").decode()],
    Fault.BAD_BASE64: lambda images: ["!" + images[0][1:]],
}
