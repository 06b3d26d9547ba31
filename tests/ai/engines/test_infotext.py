"""How pictures say how they were made."""

from __future__ import annotations

import io

from PIL import Image

from ai.engines.infotext import encode_png, infotext


def test_it_reads_as_the_webuis() -> None:
    text = infotext("a cat\non a mat", "blur", {"Steps": 20, "Model": "a, b: c"})
    assert text == 'a cat\non a mat\nNegative prompt: blur\nSteps: 20, Model: "a, b: c"'


def test_an_empty_negative_prompt_has_no_line() -> None:
    assert infotext("a cat", "", {"Steps": 20}) == "a cat\nSteps: 20"


def test_any_script_survives_in_the_file() -> None:
    for text in ("plain", "café", "赤い円 🎨"):
        data = encode_png(Image.new("RGB", (8, 8), "red"), text)
        with Image.open(io.BytesIO(data)) as opened:
            assert opened.info["parameters"] == text
            assert opened.getpixel((0, 0)) == (255, 0, 0)
