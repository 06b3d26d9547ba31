"""Writes the trained networks as the OpenVINO folder that openvino-genai loads.

    python -m ai.demo_model.training.export --work build --out ai/demo_model/checkpoint

Uses the moving average of the weights. Weights of the denoiser and text encoder are stored in
8 bits, the autoencoder's in 16. The exported denoiser predicts noise, as ordinary samplers expect.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import nncf
import openvino
import torch
from openvino_tokenizers import convert_tokenizer
from torch import Tensor, nn
from transformers import CLIPTokenizer

from ai.demo_model.training.networks import (
    BETA_END,
    BETA_START,
    LATENT_CHANNELS,
    TEXT_TOKENS,
    TEXT_WIDTH,
    TRAIN_STEPS,
    UNET_CONFIG,
    Decoder,
    Encoder,
    TextEncoder,
    UNet,
    kept_signal,
)

AUTOENCODER_CONFIG = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": LATENT_CHANNELS,
    "scaling_factor": 1.0,  # the exported graphs scale by themselves
    "block_out_channels": [1, 1, 1, 1, 1],  # read for its length only: 2 ** (5 - 1) pixels a cell
}
CONFIGS: dict[str, dict[str, Any]] = {
    "model_index.json": {
        "_class_name": "StableDiffusionPipeline",
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    },
    "scheduler/scheduler_config.json": {
        "_class_name": "EulerDiscreteScheduler",
        "num_train_timesteps": TRAIN_STEPS,
        "beta_start": BETA_START,
        "beta_end": BETA_END,
        "beta_schedule": "scaled_linear",
        "prediction_type": "epsilon",
        "timestep_spacing": "linspace",
        "steps_offset": 1,
        "set_alpha_to_one": False,
        "clip_sample": False,
        "skip_prk_steps": True,
    },
    "text_encoder/config.json": {
        "max_position_embeddings": TEXT_TOKENS,
        "num_hidden_layers": 2,
        "hidden_size": TEXT_WIDTH,
    },
    "unet/config.json": {
        "in_channels": LATENT_CHANNELS,
        "sample_size": UNET_CONFIG["sample_size"],
        "time_cond_proj_dim": None,
    },
    "vae_decoder/config.json": AUTOENCODER_CONFIG,
    "vae_encoder/config.json": AUTOENCODER_CONFIG,
}


class NoisePredictor(nn.Module):
    """The denoiser as samplers want it: noise = a * velocity + b * sample."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet
        self.register_buffer("a", kept_signal().sqrt().float())
        self.register_buffer("b", (1 - kept_signal()).sqrt().float())

    def forward(self, sample: Tensor, timestep: Tensor, encoder_hidden_states: Tensor) -> Tensor:
        velocity = self.unet(sample, timestep, encoder_hidden_states)
        a, b = (table[timestep].view(-1, 1, 1, 1) for table in (self.a, self.b))
        out: Tensor = a * velocity + b * sample
        return out


class LatentEncoder(nn.Module):
    """Pictures to the mean and log variance of latents scaled to mean 0, deviation 1."""

    def __init__(self, encoder: Encoder, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.encoder, self.mean, self.std = encoder, mean, std

    def forward(self, sample: Tensor) -> Tensor:
        mean, log_variance = self.encoder(sample).chunk(2, 1)
        log_variance = (log_variance - 2 * self.std.log()).clamp(-30, 20)
        return torch.cat([(mean - self.mean) / self.std, log_variance], 1)


class LatentDecoder(nn.Module):
    """Scaled latents to pictures in -1..1."""

    def __init__(self, decoder: Decoder, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.decoder, self.mean, self.std = decoder, mean, std

    def forward(self, latent_sample: Tensor) -> Tensor:
        out: Tensor = self.decoder(latent_sample * self.std + self.mean)
        return out


def load_networks(work: Path, vocabulary: int) -> dict[str, nn.Module]:
    """The trained networks by the names of their folders."""
    state = torch.load(work / "denoiser.pt")
    unet, text_encoder = UNet(), TextEncoder(vocabulary)
    for weight, value in zip(
        [*unet.parameters(), *text_encoder.parameters()], state["average"], strict=True
    ):
        weight.data.copy_(value)
    print(f"trained {state['step']} steps in {state['trained_s'] / 60:.0f} min")
    autoencoder = torch.load(work / "autoencoder.pt")
    encoder, decoder = Encoder(), Decoder()
    encoder.load_state_dict(autoencoder["encoder"])
    decoder.load_state_dict(autoencoder["decoder"])
    scale = (state["latent_mean"], state["latent_std"])
    return {
        "text_encoder": text_encoder,
        "unet": NoisePredictor(unet),
        "vae_encoder": LatentEncoder(encoder, *scale),
        "vae_decoder": LatentDecoder(decoder, *scale),
    }


def example_inputs(name: str) -> tuple[dict[str, Tensor], list[list[int]], str]:
    """For a network: inputs to trace it with, their shapes (-1 is free), its output's name."""
    text = torch.randn(2, TEXT_TOKENS, TEXT_WIDTH)
    latent = torch.randn(2, LATENT_CHANNELS, 18, 22)
    free_latent, free_picture = [-1, LATENT_CHANNELS, -1, -1], [-1, 3, -1, -1]
    match name:
        case "text_encoder":
            ids = torch.ones(2, TEXT_TOKENS, dtype=torch.int64)
            return {"input_ids": ids}, [[-1, TEXT_TOKENS]], "last_hidden_state"
        case "unet":
            inputs = {
                "sample": latent,
                "timestep": torch.tensor([10]),
                "encoder_hidden_states": text,
            }
            return inputs, [free_latent, [-1], [-1, TEXT_TOKENS, TEXT_WIDTH]], "out_sample"
        case "vae_encoder":
            return {"sample": torch.randn(1, 3, 64, 96)}, [free_picture], "latent_parameters"
        case _:
            return {"latent_sample": latent}, [free_latent], "sample"


def convert(name: str, network: nn.Module) -> openvino.Model:
    """The network as an OpenVINO graph with named inputs and output and free sizes."""
    inputs, shapes, output = example_inputs(name)
    with torch.no_grad():
        model = openvino.convert_model(network.eval(), example_input=inputs)
    for port, shape in zip(model.inputs, shapes, strict=True):
        port.get_node().set_partial_shape(openvino.PartialShape(shape))
    model.validate_nodes_and_infer_types()
    for port, input_name in zip(model.inputs, inputs, strict=True):
        port.get_tensor().set_names({input_name})
        port.get_node().set_friendly_name(input_name)
    model.outputs[0].get_tensor().set_names({output})
    if name in ("unet", "text_encoder"):
        model = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_ASYM)
    return model


def export(work: Path, out: Path) -> None:
    """Write the folder; what was there before goes."""
    shutil.rmtree(out, ignore_errors=True)
    tokenizer = CLIPTokenizer.from_pretrained(work / "tokenizer")
    for name, network in load_networks(work, len(tokenizer)).items():
        openvino.save_model(convert(name, network), out / name / "openvino_model.xml")
    for path, config in CONFIGS.items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_text(json.dumps(config, indent=1) + "\n")
    shutil.copytree(work / "tokenizer", out / "tokenizer")
    graph = convert_tokenizer(tokenizer, with_detokenizer=False)
    openvino.save_model(graph, out / "tokenizer" / "openvino_tokenizer.xml")
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    print(f"{out}: {size / 1e6:.1f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of the weights")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    args = parser.parse_args()
    export(args.work, args.out)


if __name__ == "__main__":
    main()
