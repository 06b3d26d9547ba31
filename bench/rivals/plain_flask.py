"""The gateway most people write: Flask, requests, Pillow, jsonify, flask-limiter.

    UPSTREAM=http://127.0.0.1:7860 gunicorn --worker-class gthread --threads 8 \
        bench.rivals.plain_flask:app
"""

from __future__ import annotations

import base64
import io
import os
import uuid
from pathlib import Path

import requests
from flask import Flask, Response, jsonify, request
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from PIL import Image

UPSTREAM = os.environ["UPSTREAM"]
IMAGES = Path(os.environ["IMAGES"])

app = Flask(__name__)
limiter = Limiter(get_remote_address, app=app, storage_uri="memory://")


@app.post("/api/v1/ai/generation/txt2img")
@limiter.limit("10000000/minute")
def txt2img() -> Response:
    asked = request.get_json()
    return _made("txt2img", _payload(asked))


@app.post("/api/v1/ai/generation/img2img")
@limiter.limit("10000000/minute")
def img2img() -> Response:
    if request.files:
        original, asked = Image.open(request.files["image"].stream), request.form.to_dict()
    else:
        asked = request.get_json()
        encoded = asked["image"].split(",")[-1]
        original = Image.open(io.BytesIO(base64.b64decode(encoded)))
    return _made("img2img", {**_payload(asked), "init_images": [_encoded(original)]})


def _payload(asked: dict[str, str]) -> dict[str, object]:
    return {
        "prompt": asked["prompt"],
        "negative_prompt": asked.get("negative_prompt", ""),
        "steps": int(asked.get("steps", 20)),
        "cfg_scale": float(asked.get("cfg_scale", 7.5)),
        "width": int(asked.get("width", 512)),
        "height": int(asked.get("height", 512)),
        "seed": int(asked.get("seed", -1)),
        "sampler_name": "Euler a",
    }


def _made(route: str, payload: dict[str, object]) -> Response:
    answer = requests.post(f"{UPSTREAM}/sdapi/v1/{route}", json=payload, timeout=600)
    answer.raise_for_status()
    result = answer.json()
    image = Image.open(io.BytesIO(base64.b64decode(result["images"][0])))
    image_id = str(uuid.uuid4())
    image.save(IMAGES / f"{image_id}.png")
    return jsonify(
        image_id=image_id,
        image_base64=f"data:image/png;base64,{_encoded(image)}",
        info=result["info"],
    )


def _encoded(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()
