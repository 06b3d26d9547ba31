"""The fake WebUI's tools, and lists that were not recorded, as its API code has them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from io import BytesIO
from typing import Any

from PIL import Image, UnidentifiedImageError

from tests.fake_webui_model import FakeModel
from tests.fake_webui_wire import Json, Refusal

TOOLS = ("extra-single-image", "interrogate")
CAPTION = "a red circle on a blue background"
_STEPS = 4

LISTS: dict[str, Any] = {
    "sd-vae": [
        {"model_name": "soft.vae.pt", "filename": "/opt/webui/models/VAE/soft.vae.pt"},
    ],
    "sd-modules": [
        {"model_name": "soft.vae.pt", "filename": "/opt/webui/models/VAE/soft.vae.pt"},
    ],
    "latent-upscale-modes": [{"name": "Latent"}, {"name": "Latent (antialiased)"}],
    "face-restorers": [
        {"name": "CodeFormer", "cmd_dir": "/opt/webui/models/Codeformer"},
        {"name": "GFPGAN", "cmd_dir": None},
    ],
    "hypernetworks": [{"name": "brush", "path": "/opt/webui/models/hypernetworks/brush.pt"}],
    "realesrgan-models": [
        {
            "name": "R-ESRGAN 4x+",
            "path": "https://github.com/xinntao/RealESRGAN_x4plus.pth",
            "scale": 4,
        }
    ],
    "prompt-styles": [{"name": "secret style", "prompt": "x", "negative_prompt": ""}],
}

CONTROLNET: dict[str, Any] = {
    "/controlnet/version": {"version": 3},
    "/controlnet/model_list": {
        "model_list": ["None", "control_canny [d14c016b]", "/opt/webui/models/secret.pth"]
    },
    "/controlnet/module_list": {
        "module_list": ["none", "canny"],
        "module_detail": {"canny": {"model_free": False, "sliders": []}},
    },
}
"""What a Forge's built-in ControlNet has, a path among its names for once."""


def use_tool(model: FakeModel, work: Callable[[Json], Json], body: Json) -> Json:
    """The answer of `work`, which takes the one lock and some steps as generations do."""
    with model.lock(), model.state.begin("extras"):
        model.state.sample(_STEPS, model.step_latency_s)
        return work(body)


def enlarged(body: Json) -> Json:
    image = _opened(body["image"])
    if body.get("resize_mode", 0) == 0:
        scale = body.get("upscaling_resize", 2)
        size = (int(image.width * scale), int(image.height * scale))
    else:
        size = (body["upscaling_resize_w"], body["upscaling_resize_h"])
    buffer = BytesIO()
    image.resize(size).save(buffer, "PNG")
    made = base64.b64encode(buffer.getvalue()).decode()
    return {"html_info": "<div>/opt/webui/outputs</div>", "image": made}


def described(body: Json) -> Json:
    """404 without a picture, as the API says it."""
    if not body.get("image"):
        raise Refusal(404, "Image not found")
    _opened(body["image"])
    return {"caption": CAPTION}


def _opened(encoded: str) -> Image.Image:
    try:
        return Image.open(BytesIO(base64.b64decode(encoded.partition(",")[2] or encoded)))
    except (ValueError, UnidentifiedImageError) as error:
        raise Refusal(500, "Invalid encoded image") from error
