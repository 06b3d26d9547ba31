"""Trains the denoiser and the text encoder together on latents of drawn pictures.

    python -m ai.demo_model.training.train_denoiser --work build --minutes 120

Reads WORK/autoencoder.pt and WORK/tokenizer/, writes WORK/denoiser.pt every three minutes and at
the end. Where that file is there already, training goes on from it: its minutes count.
"""

import argparse
import math
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from transformers import CLIPTokenizer

from ai.demo_model.training.latents import LatentPool, Size
from ai.demo_model.training.networks import (
    TRAIN_STEPS,
    Encoder,
    TextEncoder,
    UNet,
    kept_signal,
)

CAPTION_DROPOUT = 0.1
EMA_DECAY = 0.999
SAVE_EVERY_S = 180
WARM_UP_STEPS = 100
STEADY_SHARE = 0.35  # of the time at full learning rate; the rest falls along a cosine


@dataclass(frozen=True)
class Bucket:
    """One picture size: its share of the steps, batch size, and weight on noisy times."""

    size: Size
    share: float
    batch: int
    noisier: float  # mean of the logit of t / 1000; larger latents hide their form longer
    capacity: int


BUCKETS = [
    Bucket((16, 16), 0.46, 32, 0.5, 8000),
    Bucket((32, 32), 0.35, 8, 1.0, 4000),
    Bucket((24, 24), 0.06, 16, 0.8, 2000),
    Bucket((16, 24), 0.05, 24, 0.6, 2000),
    Bucket((24, 16), 0.05, 24, 0.6, 2000),
    Bucket((8, 8), 0.02, 48, 0.2, 2000),
    Bucket((4, 4), 0.01, 64, 0.0, 2000),
]


class Denoiser:
    """The trained networks, their moving average, optimizer and counters: all that is saved."""

    def __init__(self, vocabulary: int) -> None:
        self.unet = UNet().to(memory_format=torch.channels_last)
        self.text_encoder = TextEncoder(vocabulary)
        self.weights = [*self.unet.parameters(), *self.text_encoder.parameters()]
        self.average = [weight.detach().clone() for weight in self.weights]
        self.optimizer = torch.optim.AdamW(self.weights, betas=(0.9, 0.99), weight_decay=1e-4)
        self.latent_mean = torch.zeros(8, 1, 1)
        self.latent_std = torch.ones(8, 1, 1)
        self.step = 0
        self.trained_s = 0.0

    def loss(self, latents: Tensor, ids: Tensor, times: Tensor) -> Tensor:
        """Mean square error of the velocity a * noise - b * latent, for latents as encoded.

        Learning the velocity, not the noise, is what ties pictures to captions early;
        export.py turns it back into the noise that ordinary samplers ask for.
        """
        clean = (latents - self.latent_mean) / self.latent_std
        clean = clean.contiguous(memory_format=torch.channels_last)
        kept = kept_signal()[times].float().view(-1, 1, 1, 1)
        a, b = kept.sqrt(), (1 - kept).sqrt()
        noise = torch.randn_like(clean)
        with torch.autocast("cpu", torch.bfloat16):
            text = self.text_encoder(ids)
            velocity = self.unet(a * clean + b * noise, times, text)
        return functional.mse_loss(velocity.float(), a * noise - b * clean)

    def learn(self, loss: Tensor, learning_rate: float) -> None:
        """One optimizer step, and one of the moving average."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimizer.step()
        self.step += 1
        decay = min(EMA_DECAY, (1 + self.step) / (20 + self.step))
        torch._foreach_mul_(self.average, decay)
        torch._foreach_add_(self.average, [w.detach() for w in self.weights], alpha=1 - decay)

    def save(self, path: Path) -> None:
        """Write everything, atomically."""
        state = {
            "unet": self.unet.state_dict(),
            "text_encoder": self.text_encoder.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "latent_mean": self.latent_mean,
            "latent_std": self.latent_std,
            "step": self.step,
            "trained_s": self.trained_s,
        }
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    def load(self, path: Path) -> None:
        """Take over a saved state, or bare weights (no optimizer, no counters) to start from."""
        state = torch.load(path)
        self.unet.load_state_dict(state["unet"])
        self.text_encoder.load_state_dict(state["text_encoder"])
        self.latent_mean, self.latent_std = state["latent_mean"], state["latent_std"]
        average = state.get("average", [weight.detach() for weight in self.weights])
        for mine, saved in zip(self.average, average, strict=True):
            mine.copy_(saved)
        if "optimizer" in state:
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.trained_s = state["step"], state["trained_s"]


def noisy_times(count: int, noisier: float) -> Tensor:
    """(count,) diffusion times: a quarter uniform, the rest logit-normal about `noisier`."""
    spread = torch.sigmoid(torch.randn(count) + noisier)
    share = torch.where(torch.rand(count) < 0.25, torch.rand(count), spread)
    return (share * TRAIN_STEPS).long().clamp(0, TRAIN_STEPS - 1)


def learning_rate(peak: float, step: int, share_done: float) -> float:
    """Linear warm-up, a steady stretch, then a cosine down to a hundredth."""
    fall = max(0.0, share_done - STEADY_SHARE) / (1 - STEADY_SHARE)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, fall)))
    return peak * min(1, (step + 1) / WARM_UP_STEPS) * (0.01 + 0.99 * cosine)


def free_threads(most: int) -> int:
    """How many threads to compute with: one while others keep the processors busy.

    Threads wait for each other at every layer, so two that share their cores are slower than one.
    """
    others = os.getloadavg()[0] - torch.get_num_threads()
    return most if others < 0.7 else 1


def fill_pools(encoder: Encoder, tokenizer: CLIPTokenizer, seed: int) -> dict[Size, LatentPool]:
    """A pool for each bucket, a sixth full."""
    pools = {}
    for bucket in BUCKETS:
        pool = LatentPool(bucket.size, encoder, tokenizer, seed, bucket.capacity)
        for _ in range(bucket.capacity // 6 // 32):
            pool.draw_more(32)
        pools[bucket.size] = pool
    return pools


def train(
    denoiser: Denoiser, pools: dict[Size, LatentPool], out: Path, args: argparse.Namespace
) -> None:
    """Train until the time is up; the clock stands still while nothing is training."""
    rng = random.Random(args.seed + denoiser.step)
    recent: dict[Size, float] = {}
    last = saved = time.monotonic()
    while denoiser.trained_s < args.minutes * 60:
        torch.set_num_threads(free_threads(args.threads))
        bucket = rng.choices(BUCKETS, [bucket.share for bucket in BUCKETS])[0]
        pools[bucket.size].draw_more(max(2, bucket.batch // 8))
        latents, ids = pools[bucket.size].batch(bucket.batch, CAPTION_DROPOUT)
        loss = denoiser.loss(latents, ids, noisy_times(bucket.batch, bucket.noisier))
        share_done = denoiser.trained_s / (args.minutes * 60)
        denoiser.learn(loss, learning_rate(args.learning_rate, denoiser.step, share_done))
        recent[bucket.size] = 0.98 * recent.get(bucket.size, loss.item()) + 0.02 * loss.item()
        now = time.monotonic()
        denoiser.trained_s += now - last
        last = now
        if denoiser.step % 100 == 0:
            losses = " ".join(f"{h}x{w} {value:.4f}" for (h, w), value in recent.items())
            print(f"step {denoiser.step} {denoiser.trained_s:.0f} s: {losses}", flush=True)
        if now - saved > SAVE_EVERY_S:
            denoiser.save(out)
            saved = now
    denoiser.save(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of the weights")
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--learning-rate", type=float, default=8e-4)
    parser.add_argument("--start-from", type=Path, help="weights to warm-start a new training from")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    tokenizer = CLIPTokenizer.from_pretrained(args.work / "tokenizer")
    encoder = Encoder().to(memory_format=torch.channels_last)
    encoder.load_state_dict(torch.load(args.work / "autoencoder.pt")["encoder"])
    pools = fill_pools(encoder.requires_grad_(False), tokenizer, args.seed)
    denoiser = Denoiser(len(tokenizer))
    out = args.work / "denoiser.pt"
    if out.exists() or args.start_from:
        denoiser.load(out if out.exists() else args.start_from)
    else:
        denoiser.latent_mean, denoiser.latent_std = pools[BUCKETS[0].size].statistics()
    train(denoiser, pools, out, args)


if __name__ == "__main__":
    main()
