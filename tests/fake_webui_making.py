"""One generation of the fake WebUI: what it is really made with, and the pictures of it."""

from __future__ import annotations

import base64
import json
import math
import random
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from tests import fake_webui_pictures as pictures
from tests.fake_webui_wire import Crash, Json, Refusal, recorded

MAX_RANDOM_SEED = 4294967294
_DEFAULT_MASK_BLUR = 4


class Making:
    """Raises Crash for what the WebUI does not check: steps 0, batch_size 0, size under 8."""

    def __init__(
        self,
        asked: Json,
        *,
        checkpoint_name: str,
        checkpoint_hash: str,
        samples_format: str,
        timestamp: str,
        denoises: bool,
    ) -> None:
        self.asked = asked
        self.checkpoint_name, self.checkpoint_hash = checkpoint_name, checkpoint_hash
        self.samples_format, self.timestamp = samples_format, timestamp
        self.strength: float | None = asked["denoising_strength"] if denoises else None
        self.width, self.height = _rounded_size(_after_hires(asked))
        if asked["steps"] < 1:
            raise Crash("ZeroDivisionError", "integer division or modulo by zero")
        if asked["batch_size"] < 1:
            raise Crash("IndexError", "list index out of range")
        self.count = asked["batch_size"] * asked["n_iter"]
        first = asked["seed"] if asked["seed"] != -1 else random.randrange(MAX_RANDOM_SEED)
        self.seeds = [first + number for number in range(self.count)]
        self.sampler, self.schedule = _sampler_and_schedule(asked)
        self.has_grid = bool(asked.get("save_images")) and self.count > 1

    @property
    def sampling_steps(self) -> int:
        if self.strength is None:
            return int(self.asked["steps"])
        return int(min(self.strength, 0.999) * self.asked["steps"]) + 1

    def images(
        self,
        done: float,
        original: pictures.Pixels | None,
        mask: Image.Image | None,
        *,
        realistic: bool,
    ) -> list[str]:
        """The pictures in base64; greyer when only part of the steps was `done`."""
        if realistic:
            return [_noisy_picture(self.width, self.height)] * self.count
        encoded = []
        for number in range(self.count):
            pixels = self._pixels(number, done, original, mask)
            file = pictures.encode(pixels, self._infotext(number), self.samples_format)
            encoded.append(base64.b64encode(file).decode())
        return encoded[:1] * self.has_grid + encoded

    def _pixels(
        self, number: int, done: float, original: pictures.Pixels | None, mask: Image.Image | None
    ) -> pictures.Pixels:
        fresh = pictures.make_pixels(
            self.seeds[number],
            self.asked["prompt"],
            self.checkpoint_name,
            width=self.width,
            height=self.height,
            done=done,
        )
        if math.isnan(self.asked["cfg_scale"]):
            return np.zeros_like(fresh)
        if original is not None and mask is not None:
            return pictures.inpaint(original, fresh, mask, self._mask_blur())
        if original is not None and self.strength is not None:
            return pictures.repaint(original, fresh, self.strength)
        return fresh

    def _mask_blur(self) -> int:
        blur = self.asked["mask_blur"]
        return _DEFAULT_MASK_BLUR if blur is None else int(blur)

    def _infotext(self, number: int) -> str:
        asked = self.asked
        negative = asked["negative_prompt"]
        lines = [asked["prompt"], *([f"Negative prompt: {negative}"] if negative else [])]
        strength = "" if self.strength is None else f"Denoising strength: {self.strength}, "
        lines.append(
            f"Steps: {asked['steps']}, Sampler: {self.sampler}, "
            f"Schedule type: {self.schedule or 'Automatic'}, CFG scale: {asked['cfg_scale']}, "
            f"Seed: {self.seeds[number]}, Size: {asked['width']}x{asked['height']}, "
            f"Model hash: {self.checkpoint_hash}, Model: {self.checkpoint_name}, {strength}"
            "Version: f2.0.1v1.10.1-1.10.1"
        )
        return "\n".join(lines)

    def info(self) -> str:
        """JSON in a string; with a bare NaN in it for a cfg_scale that was none."""
        asked, count = self.asked, self.count
        subseed = asked.get("subseed", -1)
        subseed = random.randrange(MAX_RANDOM_SEED) if subseed == -1 else subseed
        extra: dict[str, Any] = {"Schedule type": self.schedule} if self.schedule else {}
        if self.strength is not None:
            extra["Denoising strength"] = self.strength
        known = {
            "prompt": asked["prompt"],
            "all_prompts": [asked["prompt"]] * count,
            "negative_prompt": asked["negative_prompt"],
            "all_negative_prompts": [asked["negative_prompt"]] * count,
            "seed": self.seeds[0],
            "all_seeds": self.seeds,
            "subseed": subseed,
            "all_subseeds": [subseed + number for number in range(count)],
            "width": asked["width"],
            "height": asked["height"],
            "sampler_name": self.sampler,
            "cfg_scale": asked["cfg_scale"],
            "steps": asked["steps"],
            "batch_size": asked["batch_size"],
            "sd_model_name": self.checkpoint_name,
            "sd_model_hash": self.checkpoint_hash,
            "denoising_strength": self.strength,
            "extra_generation_params": extra,
            "index_of_first_image": int(self.has_grid),
            "infotexts": [self._infotext(number) for number in range(count)],
            "job_timestamp": self.timestamp,
        }
        return json.dumps(json.loads(recorded("txt2img")["info"]) | known)


@lru_cache(maxsize=8)
def _noisy_picture(width: int, height: int) -> str:
    return base64.b64encode(pictures.encode_noise(width, height)).decode()


def _rounded_size(asked: Json) -> tuple[int, int]:
    width, height = asked["width"] // 8 * 8, asked["height"] // 8 * 8
    if width < 1 or height < 1:
        raise Crash("RuntimeError", "Calculated padded input size per channel: (0 x 0)")
    return width, height


def _after_hires(asked: Json) -> Json:
    """Both sizes said, as pixels; the WebUI takes a scale and one size alone too."""
    if not asked.get("enable_hr"):
        return asked
    return {"width": asked["hr_resize_x"], "height": asked["hr_resize_y"]}


def _sampler_and_schedule(asked: Json) -> tuple[str, str | None]:
    """An unknown sampler is silently DPM++ 2M Karras; an unknown schedule is ignored."""
    offered = {row["name"]: row["options"] for row in recorded("samplers")}
    labels = {row["label"]: row["label"] for row in recorded("schedulers")}
    labels |= {row["name"]: row["label"] for row in recorded("schedulers")}
    sampler = asked["sampler_name"] or asked.get("sampler_index", "Euler")
    if sampler not in offered:
        return "DPM++ 2M", "Karras"
    schedule = asked["scheduler"]
    if schedule in (None, "Automatic"):
        schedule = offered[sampler].get("scheduler")
    return sampler, labels.get(schedule)


def read_original(asked: Json) -> pictures.Pixels:
    """The pixels of the first init image. Raises Refusal or Crash."""
    images = asked.get("init_images")
    if images is None:
        raise Refusal(404, "Init image not found")
    if not images:
        raise Crash("IndexError", "list index out of range")
    return np.asarray(read_picture(images[0], asked).convert("RGB"))


def read_picture(encoded: str, asked: Json) -> Image.Image:
    """An init image or a mask, silently resized to what was asked. Raises Refusal or Crash."""
    try:
        data = base64.b64decode(encoded.partition(",")[2] or encoded, validate=True)
        picture = Image.open(BytesIO(data))
    except (ValueError, UnidentifiedImageError) as error:
        raise Refusal(500, "Invalid encoded image") from error
    try:
        picture.load()
    except OSError as error:
        raise Crash("OSError", "image file is truncated (17 bytes not processed)") from error
    return picture.convert("L" if picture.mode == "L" else "RGB").resize(_rounded_size(asked))
