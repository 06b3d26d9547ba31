"""The README's own lines, run as printed against a gateway with nothing but itself."""

from __future__ import annotations

import base64
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pictures import opened
from tests.running import ROOT, Sluice, running_sluice

README = (ROOT / "README.md").read_text()
CURL_LINES = re.findall(r"^    (curl (?:[^\n]*\\\n)*[^\n]+)", README, re.MULTILINE)

PYTHON_LINES = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sluice]:
    """No WebUI, no Redis: the embedded engine and its bundled checkpoint."""
    with running_sluice(tmp_path_factory.mktemp("alone")) as sluice:
        yield sluice


@pytest.fixture(scope="module")
def visitor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with the clone's docs in it."""
    folder = tmp_path_factory.mktemp("visitor")
    (folder / "docs").symlink_to(ROOT / "docs")
    return folder


def test_the_curl_lines_make_the_pictures_they_promise(alone: Sluice, visitor: Path) -> None:
    assert len(CURL_LINES) == 6
    told = {}
    for line in CURL_LINES:
        command = line.replace("http://127.0.0.1:5002", alone.url)
        ran = subprocess.run(
            command, shell=True, cwd=visitor, check=True, capture_output=True, timeout=120
        )
        told[line] = ran.stdout
    (of_the_webui,) = (text for line, text in told.items() if "/sdapi/" in line)
    assert len(json.loads(of_the_webui)["images"]) == 1
    for name in ("picture.png", "like.png", "inpainted.png"):
        assert opened((visitor / name).read_bytes()).size == (256, 256)

    edited = json.loads((visitor / "edited.json").read_text())
    assert edited["output_format"] == "webp"
    assert opened(base64.b64decode(edited["data"][0]["b64_json"])).size == (256, 256)

    _inpainting_left_what_the_mask_leaves_black(visitor)


def test_the_python_lines_make_the_picture_they_promise(alone: Sluice, visitor: Path) -> None:
    (lines,) = PYTHON_LINES
    script = lines.replace("http://127.0.0.1:5002", alone.url)
    subprocess.run([sys.executable, "-c", script], cwd=visitor, check=True, timeout=120)
    assert opened((visitor / "openai.png").read_bytes()).size == (256, 256)


def _inpainting_left_what_the_mask_leaves_black(visitor: Path) -> None:
    before, after = (
        opened((visitor / name).read_bytes()).convert("RGB")
        for name in ("picture.png", "inpainted.png")
    )
    assert before.getpixel((4, 4)) == after.getpixel((4, 4))
    assert before.tobytes() != after.tobytes()


def test_the_banner_says_where_with_what_and_how_to_try(tmp_path: Path) -> None:
    with running_sluice(tmp_path, {"LOG_FORMAT": "console"}) as alone:
        log = alone.log()
    assert f"Sluice listens on {alone.url}\nEngines:\n  embedded: up, CPU tier" in log
    assert f"curl {alone.url}" in log


def test_stopping_ends_cleanly(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running_sluice(tmp_path_factory.mktemp("stop")) as sluice:
        assert sluice.stop(signal.SIGINT) == 0
        assert "Traceback" not in sluice.log()
