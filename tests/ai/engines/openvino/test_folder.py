"""What is known of a checkpoint before it is loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ai.demo_model import CHECKPOINT_DIR
from ai.engines.openvino.folder import read_folder
from ai.engines.openvino.lora import LoraFolder
from ai.engines.openvino.order import take_order
from tests.ai.engines.openvino.support import txt2img

SD15 = {"denoiser": "unet", "down_block_types": ["a"] * 4}
SDXL = {"denoiser": "unet", "pipeline": "StableDiffusionXLPipeline", "down_block_types": ["a"] * 3}
LCM = {"pipeline": "LatentConsistencyModelPipeline", "scheduler": "LCMScheduler"}
DISTILLED = {"time_cond_proj_dim": 256}
SD3 = {
    "denoiser": "transformer",
    "pipeline": "StableDiffusion3Pipeline",
    "scheduler": "FlowMatchEulerDiscreteScheduler",
}
FLUX = SD3 | {"pipeline": "FluxPipeline"}


def model(
    folder: Path,
    *,
    pipeline: str = "StableDiffusionPipeline",
    scheduler: str = "PNDMScheduler",
    denoiser: str = "unet",
    weights: bytes = b"weights",
    encoder: bool = True,
    **denoiser_config: object,
) -> Path:
    """A folder laid out as an export is, without anything to load."""
    files = {
        "model_index.json": {"_class_name": pipeline},
        "scheduler/scheduler_config.json": {"_class_name": scheduler},
        "vae_decoder/config.json": {"block_out_channels": [1, 2, 3, 4]},
        f"{denoiser}/config.json": denoiser_config,
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    (folder / denoiser / "openvino_model.bin").write_bytes(weights)
    if encoder:
        (folder / "vae_encoder").mkdir()
    return folder


@pytest.mark.parametrize(
    ("made_of", "size_step"), [({}, 8), (SD15, 64), (SDXL, 32), (SD3, 16), (FLUX, 16)]
)
def test_sizes_are_multiples_of_what_every_network_halves(
    tmp_path: Path, made_of: dict[str, object], size_step: int
) -> None:
    folder = read_folder(model(tmp_path, **made_of), "it")  # type: ignore[arg-type]
    assert (folder.vae_factor, folder.size_step) == (8, size_step)


def test_the_demo_takes_multiples_of_sixteen() -> None:
    assert read_folder(CHECKPOINT_DIR, "demo").size_step == 16


@pytest.mark.parametrize(
    ("made_of", "samplers"),
    [(SD15, ["Euler", "Euler a", "DDIM", "PLMS", "LCM"]), (SD3, ["Euler"]), (FLUX, ["Euler"])],
)
def test_flow_matching_takes_its_own_sampler_alone(
    tmp_path: Path, made_of: dict[str, object], samplers: list[str]
) -> None:
    folder = read_folder(model(tmp_path, **made_of), "it")  # type: ignore[arg-type]
    assert [sampler.name for sampler in folder.samplers] == samplers
    assert list(folder.sampler_types) == (samplers if len(samplers) > 1 else [])


@pytest.mark.parametrize(
    ("scheduler", "sampler"),
    [
        ("PNDMScheduler", "PLMS"),
        ("EulerDiscreteScheduler", "Euler"),
        ("EulerAncestralDiscreteScheduler", "Euler a"),
        ("LCMScheduler", "LCM"),
        ("LMSDiscreteScheduler", "DDIM"),
        ("FlowMatchEulerDiscreteScheduler", "Euler"),
        ("SomethingNewScheduler", "Euler"),
    ],
)
def test_the_default_sampler_is_the_folders_own(
    tmp_path: Path, scheduler: str, sampler: str
) -> None:
    assert read_folder(model(tmp_path, scheduler=scheduler), "it").default_sampler == sampler


@pytest.mark.parametrize(
    ("made_of", "sent"),
    [(SD15, "blur"), (SDXL, "blur"), (SD3, "blur"), (FLUX, None), (LCM, None), (DISTILLED, None)],
)
def test_a_negative_prompt_goes_only_to_those_that_take_one(
    tmp_path: Path, made_of: dict[str, object], sent: str | None
) -> None:
    folder = read_folder(model(tmp_path, **made_of), "it")  # type: ignore[arg-type]
    request = txt2img(negative_prompt="blur", cfg_scale=3.0)
    order = take_order(request, folder, LoraFolder(None), stand_in=False)
    assert order.negative_prompt == sent
    assert order.degraded == (() if sent else ("negative_prompt",))
    assert order.cfg_scale == 3.0


def test_guidance_distilled_into_the_weights_may_be_below_one(tmp_path: Path) -> None:
    folder = read_folder(model(tmp_path, **FLUX), "it")  # type: ignore[arg-type]
    request = txt2img(cfg_scale=0.0)
    assert take_order(request, folder, LoraFolder(None), stand_in=False).cfg_scale == 0.0


def test_the_kinds_worth_loading_follow_from_the_folder(tmp_path: Path) -> None:
    every = read_folder(model(tmp_path / "a"), "it")
    blind = read_folder(model(tmp_path / "b", encoder=False), "it")
    filling = read_folder(model(tmp_path / "c", pipeline="FluxFillPipeline"), "it")
    assert set(every.kinds) == {"txt2img", "img2img", "inpainting"}
    assert blind.kinds == ("txt2img",)
    assert filling.kinds == ("inpainting",)


def test_the_hash_follows_the_weights_and_nothing_else(tmp_path: Path) -> None:
    def hash_of(name: str, weights: bytes) -> str | None:
        return read_folder(model(tmp_path / name, weights=weights), name).checkpoint.hash

    several_pieces = bytes(3 << 20)
    changed_at_the_end = several_pieces[:-1] + b"x"
    assert hash_of("a", several_pieces) == hash_of("b", several_pieces)
    hashes = [several_pieces, changed_at_the_end, several_pieces + b"\0", b""]
    assert len({hash_of(f"c{n}", weights) for n, weights in enumerate(hashes)}) == len(hashes)


@pytest.mark.parametrize("content", ["", "{", "[]", "null"])
def test_a_folder_that_makes_no_sense_is_an_error(tmp_path: Path, content: str) -> None:
    (model(tmp_path) / "model_index.json").write_text(content)
    with pytest.raises(ValueError):
        read_folder(tmp_path, "it")
