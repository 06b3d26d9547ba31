"""The embedded engine beside diffusers on PyTorch: the same weights, steps and size, 32 bits.

python -m bench.embedded PICTURES STEPS SIDE    the engine alone, in this process
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time

from ai.demo_model import CHECKPOINT_DIR
from ai.engines.openvino.engine import OpenVinoEngine
from ai.generation import Txt2Img
from bench.dialects import PROMPT
from bench.plan import Plan
from bench.processes import usage
from bench.report import Part, Table, shown
from tests.running import ROOT

PICTURES = 5
STEPS = 20
SIDE = 512
TORCH_PYTHON = ROOT / ".venv-torch/bin/python"
COLUMNS = ("", "s a picture", "least-most", "peak MB")


def run(plan: Plan) -> Part:
    """Each in a process of its own; diffusers is left out where it is not installed."""
    commands = {"Sluice, embedded": (sys.executable, "-m", "bench.embedded")}
    if TORCH_PYTHON.exists():
        commands["diffusers"] = (str(TORCH_PYTHON), "-m", "bench.rivals.diffusers_demo")
    pictures = 1 if plan.quick else PICTURES
    rows = []
    for name, command in commands.items():
        numbers = [str(number) for number in (pictures, STEPS, SIDE)]
        done = subprocess.run(
            [*command, *numbers], cwd=ROOT, capture_output=True, text=True, timeout=300, check=True
        )
        found = json.loads(done.stdout)
        seconds = found["seconds"]
        spread = f"{shown(min(seconds))}-{shown(max(seconds))}"
        rows.append((name, statistics.median(seconds), spread, found["peak_mb"]))
    title = f"The demo checkpoint, {SIDE}x{SIDE}, {STEPS} steps of Euler, 32 bits"
    return Part("embedded", [Table(title, COLUMNS, rows)])


def main() -> None:
    pictures, steps, side = map(int, sys.argv[1:4])
    engine = OpenVinoEngine(CHECKPOINT_DIR, precision="f32")
    seconds = []
    for seed in range(-1, pictures):
        request = Txt2Img(
            prompt=PROMPT, sampler_name="Euler", steps=steps, width=side, height=side, seed=seed
        )
        began = time.perf_counter()
        engine.generate(request, timeout_s=120.0)
        seconds.append(time.perf_counter() - began)
    # The first loads the weights.
    print(json.dumps({"seconds": seconds[1:], "peak_mb": usage(os.getpid()).peak_mb}))


if __name__ == "__main__":
    main()
