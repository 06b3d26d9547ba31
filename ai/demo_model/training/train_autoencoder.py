"""Trains the autoencoder on crops of drawn pictures.

    python -m ai.demo_model.training.train_autoencoder --work build --minutes 14

Writes WORK/autoencoder.pt. Where that file is there already, its weights are the start.
"""

import argparse
import math
import random
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ai.demo_model.training.networks import Decoder, Encoder
from ai.demo_model.training.pictures import draw_picture

CROP = 128  # side of what is trained on, pixels
SIDES = [128, 128, 192, 256, 512]  # of the pictures it is cut from: outlines at every scale
BATCH = 16
POOL = 1000  # drawn crops kept; four are redrawn at each step
EDGE_WEIGHT, KL_WEIGHT = 0.5, 1e-4  # crisp outlines matter more than a tidy latent


class CropPool:
    """Drawn crops, (128, 128, 3) bytes each."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._crops: list[np.ndarray] = []

    def _draw(self) -> np.ndarray:
        side = self._rng.choice(SIDES)
        picture, _ = draw_picture(side, side, self._rng, oversample=2 if side < 512 else 1)
        x, y = self._rng.randint(0, side - CROP), self._rng.randint(0, side - CROP)
        return np.asarray(picture.crop((x, y, x + CROP, y + CROP)))

    def batch(self) -> Tensor:
        """(16, 3, 128, 128) in -1..1; the pool grows by a batch, once full it renews itself."""
        if len(self._crops) < POOL:
            self._crops += [self._draw() for _ in range(BATCH)]
        else:
            for _ in range(4):
                self._crops[self._rng.randrange(POOL)] = self._draw()
        picks = np.stack(self._rng.sample(self._crops, BATCH))
        pixels = torch.from_numpy(picks).permute(0, 3, 1, 2).float() / 127.5 - 1
        return pixels.contiguous(memory_format=torch.channels_last)


def reconstruction_loss(encoder: Encoder, decoder: Decoder, picture: Tensor) -> Tensor:
    """Absolute, square and edge errors, and a light pull of the latent towards a unit normal."""
    with torch.autocast("cpu", torch.bfloat16):
        mean, log_variance = encoder(picture).float().chunk(2, 1)
        log_variance = log_variance.clamp(-12, 4)
        latent = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        error = decoder(latent).float() - picture
    across = (error[..., 1:] - error[..., :-1]).abs().mean()
    down = (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    pixels = error.abs().mean() + error.square().mean()
    loss: Tensor = pixels + EDGE_WEIGHT * (across + down) + KL_WEIGHT * divergence
    return loss


def train(encoder: Encoder, decoder: Decoder, args: argparse.Namespace) -> None:
    """Train until the time is up, the learning rate falling along a cosine."""
    weights = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.AdamW(weights, betas=(0.9, 0.98), weight_decay=1e-4)
    pool = CropPool(random.Random(args.seed))
    start, step = time.monotonic(), 0
    while (share_done := (time.monotonic() - start) / (args.minutes * 60)) < 1:
        fall = 0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * share_done))
        for group in optimizer.param_groups:
            group["lr"] = args.learning_rate * min(1, (step + 1) / 50) * fall
        loss = reconstruction_loss(encoder, decoder, pool.batch())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        step += 1
        if step % 50 == 0:
            print(f"step {step} {time.monotonic() - start:.0f} s: {loss.item():.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of the weights")
    parser.add_argument("--minutes", type=float, default=14)
    parser.add_argument("--learning-rate", type=float, default=9e-4)
    parser.add_argument("--seed", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    encoder = Encoder().to(memory_format=torch.channels_last)
    decoder = Decoder().to(memory_format=torch.channels_last)
    out = args.work / "autoencoder.pt"
    if out.exists():
        state = torch.load(out)
        encoder.load_state_dict(state["encoder"])
        decoder.load_state_dict(state["decoder"])
    train(encoder, decoder, args)
    args.work.mkdir(parents=True, exist_ok=True)
    state = {"encoder": encoder.state_dict(), "decoder": decoder.state_dict()}
    torch.save(state, out.with_suffix(".part"))
    out.with_suffix(".part").replace(out)


if __name__ == "__main__":
    main()
