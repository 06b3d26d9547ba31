"""What an OpenVINO diffusion folder says of itself, read without loading its weights."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from ai.engines.base import Checkpoint, Sampler
from ai.generation import KINDS, Kind

_SAMPLERS: Final = {
    "Euler": (("k_euler",), "EULER_DISCRETE", "EulerDiscreteScheduler"),
    "Euler a": (
        ("k_euler_a", "k_euler_ancestral"),
        "EULER_ANCESTRAL_DISCRETE",
        "EulerAncestralDiscreteScheduler",
    ),
    "DDIM": (("ddim",), "DDIM", "DDIMScheduler"),
    "PLMS": (("plms", "pndm"), "PNDM", "PNDMScheduler"),
    "LCM": (("k_lcm",), "LCM", "LCMScheduler"),
}
"""The WebUI's names -> its aliases, the library's name, the class named in a folder.

The library's LMS_DISCRETE is left out: it silently samples with DDIM.
"""
_LCM_STEPS = 50
"""Steps an LCM was distilled from, where its folder does not say: the library's default."""
_HASHED_PIECES = 64
_HASHED_PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class DiffusionFolder:
    """One checkpoint and what is known of it before it is loaded.

    `sampler_types` maps the samplers it can be asked for to the library's own names; empty
    where only the folder's own will do (SD3, FLUX: flow matching). A cell of the latent is
    `vae_factor` pixels a side; widths and heights must be multiples of `size_step` pixels.
    `lcm_steps` are those an LCM was distilled from. `kinds` are worth trying to load.
    """

    path: Path
    checkpoint: Checkpoint
    samplers: tuple[Sampler, ...]
    sampler_types: dict[str, str]
    default_sampler: str
    takes_negative_prompt: bool
    vae_factor: int
    size_step: int
    lcm_steps: int
    kinds: tuple[Kind, ...]

    @property
    def scheduler_config(self) -> Path:
        return self.path / "scheduler" / "scheduler_config.json"


def read_folder(path: Path, name: str) -> DiffusionFolder:
    """Read the folder at `path`, to be called `name`.

    Raises OSError or ValueError where it is no OpenVINO diffusion folder.
    """
    pipeline = str(_json(path / "model_index.json").get("_class_name", ""))
    scheduler = _json(path / "scheduler" / "scheduler_config.json")
    scheduler_class = str(scheduler.get("_class_name", ""))
    is_flow = scheduler_class.startswith("FlowMatch")
    denoiser = path / ("unet" if (path / "unet").is_dir() else "transformer")
    denoiser_config = _json(denoiser / "config.json")
    vae_factor = 2 ** (len(_json(path / "vae_decoder" / "config.json")["block_out_channels"]) - 1)
    offered = ("Euler",) if is_flow else tuple(_SAMPLERS)
    digest = _hash_weights(denoiser / "openvino_model.bin")[:10]
    return DiffusionFolder(
        path=path,
        checkpoint=Checkpoint(name=name, title=f"{name} [{digest}]", hash=digest),
        samplers=tuple(Sampler(sampler, _SAMPLERS[sampler][0]) for sampler in offered),
        sampler_types={} if is_flow else {ours: row[1] for ours, row in _SAMPLERS.items()},
        default_sampler=_default_sampler(scheduler_class),
        takes_negative_prompt=_takes_negative_prompt(pipeline, denoiser_config),
        vae_factor=vae_factor,
        size_step=vae_factor
        * _latent_step(denoiser_config, is_transformer=denoiser.name != "unet"),
        lcm_steps=int(scheduler.get("original_inference_steps") or _LCM_STEPS),
        kinds=_kinds(pipeline, has_encoder=(path / "vae_encoder").is_dir()),
    )


def _default_sampler(scheduler_class: str) -> str:
    if scheduler_class == "LMSDiscreteScheduler":
        return "DDIM"
    named = (ours for ours, row in _SAMPLERS.items() if row[2] == scheduler_class)
    return next(named, "Euler")


def _takes_negative_prompt(pipeline: str, denoiser_config: dict[str, Any]) -> bool:
    """Guidance distilled into the weights (LCM, FLUX) leaves no place for one."""
    return pipeline.startswith("StableDiffusion") and not denoiser_config.get("time_cond_proj_dim")


def _kinds(pipeline: str, *, has_encoder: bool) -> tuple[Kind, ...]:
    if pipeline.endswith(("InpaintPipeline", "FillPipeline")):
        return ("inpainting",)
    return KINDS if has_encoder else ("txt2img",)


def _latent_step(denoiser_config: dict[str, Any], *, is_transformer: bool) -> int:
    """Cells of the latent a side must be a multiple of.

    Transformers take it in patches of 2 x 2. A UNet halves it once per block but the last,
    and its exports fail where the halves do not come out even; one whose config does not
    tell its blocks is taken to manage with any.
    """
    if is_transformer:
        return 2
    return 1 << max(0, len(denoiser_config.get("down_block_types", ())) - 1)


def _hash_weights(path: Path) -> str:
    """SHA-256 of the file's size and of up to 64 MiB spread evenly over it.

    So a file of many gigabytes costs no more than a small one, which is hashed whole.
    """
    size = path.stat().st_size
    stride = max(_HASHED_PIECE_BYTES, -(-size // _HASHED_PIECES))
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for offset in range(0, size, stride):
            file.seek(offset, os.SEEK_SET)
            digest.update(file.read(_HASHED_PIECE_BYTES))
    return digest.hexdigest()


def _json(path: Path) -> dict[str, Any]:
    content = orjson.loads(path.read_bytes())
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} is not a JSON object")
    return content
