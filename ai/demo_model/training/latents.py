"""Pools of drawn, captioned and encoded pictures, one per size, renewed as training goes."""

import random

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPTokenizer

from ai.demo_model.training.networks import (
    LATENT_CHANNELS,
    LATENT_FACTOR,
    TEXT_TOKENS,
    Encoder,
)
from ai.demo_model.training.pictures import draw_picture, filler

Size = tuple[int, int]  # height and width of a latent, in cells of 16 x 16 pixels


class LatentPool:
    """At most `capacity` latents of one size with their captions' token ids."""

    def __init__(
        self, size: Size, encoder: Encoder, tokenizer: CLIPTokenizer, seed: int, capacity: int
    ) -> None:
        self._size = size
        self._encoder = encoder
        self._tokenizer = tokenizer
        self._rng = random.Random(f"{seed} {size}")
        self._capacity = capacity
        self._latents: list[Tensor] = []
        self._ids: list[Tensor] = []

    def draw_more(self, count: int) -> None:
        """Draw and encode `count` new pictures; once full, they take the places of random ones."""
        height, width = (cells * LATENT_FACTOR for cells in self._size)
        drawn = [draw_picture(width, height, self._rng) for _ in range(count)]
        latents = encode([np.asarray(picture) for picture, _ in drawn], self._encoder)
        for latent, (_, caption) in zip(latents, drawn, strict=True):
            self._put(latent.half(), tokenize(self._tokenizer, caption))

    def _put(self, latent: Tensor, ids: Tensor) -> None:
        if len(self._latents) < self._capacity:
            self._latents.append(latent)
            self._ids.append(ids)
        else:
            place = self._rng.randrange(self._capacity)
            self._latents[place], self._ids[place] = latent, ids

    def batch(self, count: int, dropout: float) -> tuple[Tensor, Tensor]:
        """(count, 8, h, w) latents as encoded and (count, 77) token ids.

        `dropout`: share of captions that become empty or mere filler words, so that the network
        also learns what guidance and most negative prompts start from.
        """
        picks = [self._rng.randrange(len(self._latents)) for _ in range(count)]
        ids = [self._ids[pick] for pick in picks]
        for index in range(count):
            if self._rng.random() < dropout:
                words = filler(self._rng) if self._rng.random() < 0.3 else ""
                ids[index] = tokenize(self._tokenizer, words)
        return torch.stack([self._latents[pick] for pick in picks]).float(), torch.stack(ids)

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each latent channel, both (8, 1, 1)."""
        cells = torch.stack(self._latents).float().transpose(0, 1).reshape(LATENT_CHANNELS, -1)
        return cells.mean(1).view(-1, 1, 1), cells.std(1).view(-1, 1, 1)


def encode(pictures: list[np.ndarray], encoder: Encoder) -> Tensor:
    """Pictures (H, W, 3) of bytes to the means of their latents, (B, 8, H/16, W/16)."""
    pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        out: Tensor = encoder(pixels.contiguous(memory_format=torch.channels_last))
    return out[:, :LATENT_CHANNELS].float()


def tokenize(tokenizer: CLIPTokenizer, caption: str) -> Tensor:
    """(77,) token ids: start, words, end, and the end token repeated."""
    ids = tokenizer(
        caption, padding="max_length", truncation=True, max_length=TEXT_TOKENS, return_tensors="pt"
    ).input_ids[0]
    return torch.as_tensor(ids, dtype=torch.int64)
