"""The demo checkpoint by diffusers on PyTorch, as its pipeline does it: seconds and memory.

    .venv-torch/bin/python -m bench.rivals.diffusers_demo PICTURES STEPS SIDE [--save FILE]

Prints {"seconds": [one for each picture], "peak_mb": ...}.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from diffusers import EulerDiscreteScheduler
from PIL import Image
from tokenizers import Tokenizer
from torch import nn

from ai.demo_model.training.networks import (
    LATENT_CHANNELS,
    LATENT_FACTOR,
    TEXT_TOKENS,
    Decoder,
    TextEncoder,
    UNet,
    kept_signal,
)
from bench.rivals.ir_weights import added_to_lookup, input_scale, weights

CHECKPOINT = Path(__file__).resolve().parent.parent.parent / "ai/demo_model/checkpoint"
PROMPT = "a red circle on a blue background"
CFG_SCALE = 7.5


class Painter:
    """Text encoder, denoiser and decoder with the bundled weights, in 32 bits."""

    def __init__(self) -> None:
        self.tokenizer = Tokenizer.from_file(str(CHECKPOINT / "tokenizer/tokenizer.json"))
        settings = json.loads((CHECKPOINT / "scheduler/scheduler_config.json").read_text())
        self.scheduler = EulerDiscreteScheduler.from_config(settings)
        places = {"places.weight": added_to_lookup(_graph("text_encoder"))}
        words = weights(_graph("text_encoder"))
        vocabulary = self.tokenizer.get_vocab_size()
        self.text_encoder = _loaded(TextEncoder(vocabulary), words | places)
        self.denoiser = _loaded(UNet(), weights(_graph("unet"), "unet."))
        self.decoder = _loaded(Decoder(), weights(_graph("vae_decoder"), "decoder."))
        scale = input_scale(_graph("vae_decoder"))
        self.latent_scale = tuple(torch.from_numpy(value) for value in scale)
        self.signal, self.noise = kept_signal().sqrt().float(), (1 - kept_signal()).sqrt().float()

    @torch.inference_mode()
    def paint(self, steps: int, side: int, seed: int) -> Any:
        """A picture in -1..1."""
        text = self.text_encoder(torch.tensor([self._ids(""), self._ids(PROMPT)]))
        self.scheduler.set_timesteps(steps)
        cells = side // LATENT_FACTOR
        noise = torch.Generator().manual_seed(seed)
        latent = torch.randn(1, LATENT_CHANNELS, cells, cells, generator=noise)
        latent = latent * self.scheduler.init_noise_sigma
        for moment in self.scheduler.timesteps:
            both = self.scheduler.scale_model_input(torch.cat([latent] * 2), moment)
            times = moment.round().long().reshape(1)
            velocity = self.denoiser(both, times, text)
            predicted = self.signal[times] * velocity + self.noise[times] * both
            without, with_prompt = predicted.chunk(2)
            guided = without + CFG_SCALE * (with_prompt - without)
            latent = self.scheduler.step(guided, moment, latent).prev_sample
        std, mean = self.latent_scale
        return self.decoder(latent * std + mean)[0]

    def _ids(self, prompt: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(prompt).ids[:TEXT_TOKENS]
        return ids + [ids[-1]] * (TEXT_TOKENS - len(ids))


def _graph(name: str) -> Path:
    return CHECKPOINT / name / "openvino_model.xml"


def _loaded(network: nn.Module, found: dict[str, Any]) -> nn.Module:
    """With all its weights. Raises RuntimeError naming those that were not found."""
    known = network.state_dict()
    network.load_state_dict(
        {
            key: torch.from_numpy(value).reshape(known[key].shape)
            for key, value in found.items()
            if key in known
        }
    )
    return network.eval()


def _peak_mb() -> float:
    told = Path("/proc/self/status").read_text()
    return int(told.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    pictures, steps, side = (int(argument) for argument in sys.argv[1:4])
    painter = Painter()
    painter.paint(2, side, seed=0)
    seconds = []
    for seed in range(pictures):
        began = time.perf_counter()
        picture = painter.paint(steps, side, seed)
        seconds.append(time.perf_counter() - began)
    if "--save" in sys.argv:
        pixels = ((picture.permute(1, 2, 0) + 1) * 127.5).clamp(0, 255).byte().numpy()
        Image.fromarray(pixels).save(sys.argv[-1])
    print(json.dumps({"seconds": seconds, "peak_mb": _peak_mb()}))


if __name__ == "__main__":
    main()
