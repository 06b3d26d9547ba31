"""What a fake WebUI holds: checkpoints, options, and the jobs it runs with them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tests.fake_webui_faults import Fault
from tests.fake_webui_job import FifoLock, JobState
from tests.fake_webui_making import Making, read_original, read_picture
from tests.fake_webui_wire import FORGE_ONLY, Crash, Flavour, Json, Refusal, recorded

DEFAULTS: Json = {
    "prompt": "",
    "negative_prompt": "",
    "seed": -1,
    "sampler_name": None,
    "scheduler": None,
    "batch_size": 1,
    "n_iter": 1,
    "steps": 50,
    "cfg_scale": 7.0,
    "width": 512,
    "height": 512,
}
IMG2IMG_DEFAULTS: Json = DEFAULTS | {
    "denoising_strength": 0.75,
    "mask_blur": None,
    "inpainting_fill": 0,
    "inpaint_full_res": True,
    "inpaint_full_res_padding": 0,
    "inpainting_mask_invert": 0,
    "resize_mode": 0,
}
OPTION_COUNT = 331


@dataclass(frozen=True)
class FakeCheckpoint:
    """Weights on the fake's disk; the title tells the hash only once they were loaded."""

    name: str
    sha256: str
    hash_known: bool = True

    @property
    def hash(self) -> str:
        return self.sha256[:10]

    @property
    def filename(self) -> str:
        return f"{self.name}.safetensors"

    @property
    def title(self) -> str:
        return f"{self.filename} [{self.hash}]" if self.hash_known else self.filename

    def answers_to(self, asked: object) -> bool:
        ids = (self.name, self.filename, self.title, self.hash, self.sha256)
        return asked in (*ids, f"{self.filename} [{self.hash}]")

    def row(self) -> Json:
        """Its entry in GET sd-models."""
        return {
            "title": self.title,
            "model_name": self.name,
            "hash": self.hash if self.hash_known else None,
            "sha256": self.sha256 if self.hash_known else None,
            "filename": f"/opt/webui/models/Stable-diffusion/{self.filename}",
            "config": None,
        }


TINY_A = FakeCheckpoint("tinyA", recorded("sd-models")[0]["sha256"])
TINY_B = FakeCheckpoint("tinyB", recorded("sd-models")[1]["sha256"])


class FakeModel:
    """A WebUI without its HTTP. `loads` names each checkpoint that came to be in memory.

    `extensions` are scripts in lower case, beside those that a Forge brings along.
    """

    def __init__(
        self,
        *,
        flavour: Flavour = "forge",
        checkpoints: Sequence[FakeCheckpoint] = (TINY_A, TINY_B),
        latency_s: float = 0.0,
        step_latency_s: float = 0.0,
        switch_cost_s: float = 0.0,
        realistic: bool = False,
    ) -> None:
        self.flavour = flavour
        self.checkpoints = list(checkpoints)
        self.latency_s, self.step_latency_s = latency_s, step_latency_s
        self.switch_cost_s = switch_cost_s
        self.realistic = realistic
        self.state = JobState()
        self.lock = FifoLock()
        self.in_memory = self.checkpoints[0]
        self.loads: list[str] = []
        self.extensions: tuple[str, ...] = ()
        self.options: Json = {"sd_model_checkpoint": self.in_memory.title}
        self.defaults: Json = {
            "samples_format": "png",
            "CLIP_stop_at_last_layers": 1,
            "sd_vae": "Automatic",
            "outdir_samples": "",
            "outdir_txt2img_samples": "outputs/txt2img-images",
        }
        filler = range(OPTION_COUNT - len(self.defaults) - len(self.options))
        self.defaults |= {f"option_{number}": None for number in filler}

    def list_checkpoints(self) -> list[Json]:
        return [checkpoint.row() for checkpoint in self.checkpoints]

    def list_samplers(self) -> list[Json]:
        return list(recorded("samplers"))

    def list_schedulers(self) -> list[Json]:
        return list(recorded("schedulers"))

    def scripts(self) -> dict[str, list[str]]:
        return {kind: [*names, *self.extensions] for kind, names in recorded("scripts").items()}

    def all_options(self) -> Json:
        return self.defaults | self.options

    def set_options(self, changes: Json) -> None:
        """POST options. Raises Crash for a checkpoint that is not there."""
        asked = changes.get("sd_model_checkpoint")
        if asked is not None:
            checkpoint = self._find(asked)
            if checkpoint is None:
                raise Crash("RuntimeError", f"model {asked!r} not found")
            self._load(checkpoint)
        self.options |= changes

    def _find(self, asked: object) -> FakeCheckpoint | None:
        return next((found for found in self.checkpoints if found.answers_to(asked)), None)

    def _load(self, checkpoint: FakeCheckpoint) -> None:
        if checkpoint is self.in_memory:
            return
        time.sleep(self.switch_cost_s)
        known = FakeCheckpoint(checkpoint.name, checkpoint.sha256)
        self.checkpoints[self.checkpoints.index(checkpoint)] = self.in_memory = known
        self.loads.append(known.name)

    def generate(self, kind: str, body: Json, fault: Fault | None = None) -> Json:
        """The answer to POST txt2img or img2img. Raises Refusal or Crash."""
        asked = (DEFAULTS if kind == "txt2img" else IMG2IMG_DEFAULTS) | body
        _refuse_scripts(asked, {name for names in self.scripts().values() for name in names})
        asked["override_settings"] = overrides = self._heeded_overrides(asked)
        original = read_original(asked) if kind == "img2img" else None
        mask = read_picture(asked["mask"], asked) if asked.get("mask") else None
        restores = asked.get("override_settings_restore_afterwards", True)
        with (
            self.lock(),
            self.state.begin(f"scripts_{kind}"),
            self._overridden(overrides or {}, restores=restores),
        ):
            making = Making(
                asked,
                checkpoint_name=self.in_memory.name,
                checkpoint_hash=self.in_memory.hash,
                samples_format=self.all_options()["samples_format"],
                timestamp=self.state.job_timestamp,
                denoises=kind == "img2img",
            )
            done = self._take_steps(making.sampling_steps, fault)
            images = making.images(done, original, mask, realistic=self.realistic)
        return {"images": images, "parameters": self._echo(kind, asked), "info": making.info()}

    def _take_steps(self, steps: int, fault: Fault | None) -> float:
        done = self.state.sample(steps, self.step_latency_s + self.latency_s / steps)
        if fault in _CRASHES:
            raise _CRASHES[fault]
        return done

    def _heeded_overrides(self, asked: Json) -> Json | None:
        """Without a checkpoint that is not there. Raises Crash for any other unknown key."""
        overrides = asked.get("override_settings")
        if overrides is None:
            return None
        for key in overrides:
            if key not in self.all_options():
                raise Crash("KeyError", repr(key))
        known = self._find(overrides.get("sd_model_checkpoint")) is not None
        return {key: overrides[key] for key in overrides if known or key != "sd_model_checkpoint"}

    @contextmanager
    def _overridden(self, overrides: Json, *, restores: bool) -> Iterator[None]:
        """Options of this request alone; one never set before stays for all later ones."""
        stored = {key: self.options[key] for key in overrides if key in self.options}
        self.options |= overrides
        try:
            self._load(self._find(self.options["sd_model_checkpoint"]) or self.in_memory)
            yield
        finally:
            if restores:
                self.options |= stored

    def _echo(self, kind: str, asked: Json) -> Json:
        """`parameters`: what was asked, and what the recorded answer has beside that."""
        template = recorded(kind)["parameters"]
        echo = template | {key: asked[key] for key in asked if key in template}
        if kind == "img2img" and not asked.get("include_init_images"):
            echo |= {"init_images": None, "mask": None}
        dropped = FORGE_ONLY if self.flavour == "a1111" else ()
        return {key: value for key, value in echo.items() if key not in dropped}


_CRASHES: dict[Fault | None, Exception] = {
    Fault.OOM: Crash("OutOfMemoryError", "CUDA out of memory. Tried to allocate 2.25 GiB."),
    Fault.OOM_IN_TEXT: Crash("RuntimeError", "CUDA out of memory. Tried to allocate 2.25 GiB."),
    Fault.NAN: Crash("NansException", "A tensor with all NaNs was produced in Unet."),
    Fault.CRASH: Crash("RuntimeError", "Expected all tensors in /opt/webui/models to be there"),
}


def _refuse_scripts(asked: Json, known: set[str]) -> None:
    for name in (asked.get("script_name"), *(asked.get("alwayson_scripts") or {})):
        if name and name.lower() not in known:
            raise Refusal(422, f"Script '{name}' not found")
