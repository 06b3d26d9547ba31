"""Draws the fixed prompts through openvino-genai on one labelled sheet.

python -m ai.demo_model.training.contact_sheet shapes --out docs/demo-model-shapes.png
"""

import argparse
import time
from pathlib import Path

import openvino_genai
from PIL import Image, ImageDraw

from ai.demo_model import CHECKPOINT_DIR
from ai.demo_model.training.prompts import LARGE_PROMPTS, SCENE_PROMPTS, shape_prompts

LABEL_HEIGHT = 16  # pixels under each cell
GAP = 4


def sheet_prompts(sheet: str) -> list[tuple[str, int]]:
    """The prompts of a sheet, each with its seed."""
    if sheet == "shapes":
        return [(prompt.text, prompt.seed) for prompt in shape_prompts()]
    texts = SCENE_PROMPTS if sheet == "scenes" else LARGE_PROMPTS
    return [(text, index + 1) for index, text in enumerate(texts)]


def load(checkpoint: Path, sampler: str | None) -> openvino_genai.Text2ImagePipeline:
    """The pipeline on the CPU in full precision, so that every machine draws the same."""
    pipeline = openvino_genai.Text2ImagePipeline(checkpoint, "CPU", INFERENCE_PRECISION_HINT="f32")
    if sampler:
        kind = getattr(openvino_genai.Scheduler.Type, sampler)
        config = checkpoint / "scheduler" / "scheduler_config.json"
        pipeline.set_scheduler(openvino_genai.Scheduler.from_config(config, kind))
    return pipeline


def draw_all(
    pipeline: openvino_genai.Text2ImagePipeline,
    prompts: list[tuple[str, int]],
    args: argparse.Namespace,
) -> list[Image.Image]:
    """One picture for each prompt; prints the seconds one takes."""
    pictures = []
    start = time.monotonic()
    for text, seed in prompts:
        result = pipeline.generate(
            text,
            width=args.size,
            height=args.size,
            num_inference_steps=args.steps,
            guidance_scale=args.cfg_scale,
            rng_seed=seed,
        )
        pictures.append(Image.fromarray(result.data[0]))
    print(f"{(time.monotonic() - start) / len(prompts):.2f} s a picture")
    return pictures


def arrange(pictures: list[Image.Image], labels: list[str], cell: int, columns: int) -> Image.Image:
    """The pictures in rows, each `cell` pixels wide with its label under it."""
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (cell + GAP), rows * (cell + LABEL_HEIGHT + GAP)), "white")
    pen = ImageDraw.Draw(sheet)
    for index, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        x = index % columns * (cell + GAP)
        y = index // columns * (cell + LABEL_HEIGHT + GAP)
        sheet.paste(picture.resize((cell, cell), Image.Resampling.LANCZOS), (x, y))
        pen.text((x + 2, y + cell + 2), label, fill="black")
    return sheet


def short(prompt: str) -> str:
    """The prompt without articles and the word background, to fit under its cell."""
    return " ".join(word for word in prompt.split() if word not in ("a", "an", "background"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sheet", choices=["shapes", "scenes", "large"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT_DIR)
    parser.add_argument("--size", type=int, default=256, help="of each picture, pixels")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--cfg-scale", type=float, default=3.0)
    parser.add_argument("--sampler", help="name of an openvino_genai.Scheduler.Type")
    parser.add_argument("--cell", type=int, default=136, help="pixels a picture has on the sheet")
    parser.add_argument("--columns", type=int, default=8)
    args = parser.parse_args()
    prompts = sheet_prompts(args.sheet)
    pictures = draw_all(load(args.checkpoint, args.sampler), prompts, args)
    labels = [f"{seed} {short(text)}" for text, seed in prompts]
    sheet = arrange(pictures, labels, args.cell, args.columns)
    sheet.save(args.out, optimize=True)


if __name__ == "__main__":
    main()
