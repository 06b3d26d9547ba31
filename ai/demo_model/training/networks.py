"""The four networks of the demo checkpoint and its noise schedule.

    picture (3, H, W) --Encoder--> latent (8, H/16, W/16) --Decoder--> picture
    77 token ids --TextEncoder--> (77, 128) --cross attention--> UNet denoises the latent

Pictures are in -1..1. Sizes are the largest that train in about two hours on two CPU cores.
"""

import math
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional

LATENT_CHANNELS = 8
LATENT_FACTOR = 16  # pixels per latent cell, each way
TEXT_WIDTH = 128
TEXT_TOKENS = 77  # openvino-genai and the WebUI both count prompts in 77s
TRAIN_STEPS = 1000  # diffusion times 0..999
BETA_START, BETA_END = 0.00085, 0.02  # Stable Diffusion ends at 0.012; here more noise is left


class Residual(nn.Module):
    """x + conv(relu(conv(relu(x)))); starts as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(functional.relu(x))
        out: Tensor = x + self.second(functional.relu(hidden))
        return out


class Upsample(nn.Module):
    """Twice the height and width."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        larger = functional.interpolate(x, scale_factor=2.0, mode="nearest")
        out: Tensor = self.conv(larger)
        return out


class Encoder(nn.Module):
    """(B, 3, H, W) in -1..1 to (B, 16, H/16, W/16): eight means, then eight log variances."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(48, 64, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(64, 96, 3, stride=2, padding=1),
            Residual(96),
            nn.ReLU(),
            nn.Conv2d(96, 128, 3, stride=2, padding=1),
            Residual(128),
            Residual(128),
            nn.ReLU(),
            nn.Conv2d(128, 2 * LATENT_CHANNELS, 3, padding=1),
        )

    def forward(self, picture: Tensor) -> Tensor:
        out: Tensor = self.net(picture)
        return out


class Decoder(nn.Module):
    """(B, 8, h, w) to (B, 3, 16h, 16w), nearly within -1..1."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(LATENT_CHANNELS, 128, 3, padding=1),
            Residual(128),
            Residual(128),
            Residual(128),
            Upsample(128, 96),
            Residual(96),
            Residual(96),
            Upsample(96, 64),
            Residual(64),
            Residual(64),
            nn.ReLU(),
            nn.Conv2d(64, 48, 3, padding=1),
            nn.PixelShuffle(4),
        )

    def forward(self, latent: Tensor) -> Tensor:
        out: Tensor = self.net(latent)
        return out


class TextLayer(nn.Module):
    """One pre-norm transformer layer of CLIP's text encoder, causal, with four heads."""

    HEADS = 4

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.project = nn.Linear(width, width)
        self.norm_mlp = nn.LayerNorm(width)
        self.widen = nn.Linear(width, hidden)
        self.narrow = nn.Linear(hidden, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        normed = self.norm_attention(x)
        query, key, value = (
            layer(normed).reshape(-1, TEXT_TOKENS, self.HEADS, TEXT_WIDTH // self.HEADS)
            .transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )  # fmt: skip
        scores = query @ key.transpose(-1, -2) * (TEXT_WIDTH // self.HEADS) ** -0.5 + mask
        mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(-1, TEXT_TOKENS, TEXT_WIDTH)
        x = x + self.project(mixed)
        hidden = self.widen(self.norm_mlp(x))
        out: Tensor = x + self.narrow(hidden * torch.sigmoid(1.702 * hidden))  # CLIP's quick GELU
        return out


class TextEncoder(nn.Module):
    """(B, 77) token ids to (B, 77, 128). CLIP's text model, written out because it then traces."""

    def __init__(self, vocabulary: int, hidden: int = 384, layers: int = 2) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, TEXT_WIDTH)
        self.places = nn.Embedding(TEXT_TOKENS, TEXT_WIDTH)
        self.layers = nn.ModuleList([TextLayer(TEXT_WIDTH, hidden) for _ in range(layers)])
        self.norm = nn.LayerNorm(TEXT_WIDTH)
        later = torch.triu(torch.full((TEXT_TOKENS, TEXT_TOKENS), -1e4), 1)
        self.register_buffer("mask", later, persistent=False)

    def forward(self, input_ids: Tensor) -> Tensor:
        x = self.tokens(input_ids) + self.places.weight
        for layer in self.layers:
            x = layer(x, self.mask)
        out: Tensor = self.norm(x)
        return out


FREQUENCIES = (1, 2, 4)  # waves in half a short side, for telling cells apart
PLACE_CHANNELS = 2 + 4 * len(FREQUENCIES) + 1
UNET_CONFIG: dict[str, Any] = {  # 7.0 million weights; attention at 1/2 and 1/4 of the latent
    "sample_size": 32,
    "in_channels": LATENT_CHANNELS + PLACE_CHANNELS,
    "out_channels": LATENT_CHANNELS,
    "block_out_channels": (64, 112, 144),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": TEXT_WIDTH,
    "attention_head_dim": 4,
    "norm_num_groups": 16,
}


def places(latent: Tensor) -> Tensor:
    """(B, 15, h, w): where each cell lies, from the middle in halves of the short side, and scale.

    What is learned in one picture size then holds in the others. Tensor arithmetic only, so that
    the exported graph works for every size.
    """
    ones = torch.ones_like(latent[:, :1])
    height, width = ones[:, :, :, :1].sum(2, keepdim=True), ones[:, :, :1].sum(3, keepdim=True)
    short = torch.minimum(height, width)
    y = (2 * ones.cumsum(2) - 1 - height) / short
    x = (2 * ones.cumsum(3) - 1 - width) / short
    waves = [wave(math.pi * f * at) for f in FREQUENCIES for at in (x, y)
             for wave in (torch.sin, torch.cos)]  # fmt: skip
    return torch.cat([x, y, *waves, ones * torch.log2(short / 16)], 1)


class UNet(nn.Module):
    """The denoiser: (B, 8, h, w), times (B,), text (B, 77, 128) to velocities (B, 8, h, w)."""

    def __init__(self) -> None:
        super().__init__()
        self.unet = UNet2DConditionModel(**UNET_CONFIG)

    def forward(self, latent: Tensor, times: Tensor, text: Tensor) -> Tensor:
        placed = torch.cat([latent, places(latent)], 1)
        out: Tensor = self.unet(placed, times, text, return_dict=False)[0]
        return out


def kept_signal() -> Tensor:
    """(1000,) alpha-bar: the share of the picture's variance still there at each time."""
    root_betas = torch.linspace(BETA_START**0.5, BETA_END**0.5, TRAIN_STEPS, dtype=torch.float64)
    return torch.cumprod(1 - root_betas**2, 0)
