"""The API does what its document says, and nothing sent to it is an error of ours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_webui import FakeWebUI
from tests.running import ROOT, Sluice, running_sluice

EXAMPLES = 8
"""For each operation in each phase; the edges of every field come beside them."""


@pytest.fixture
def sluice(tmp_path: Path) -> Iterator[Sluice]:
    with FakeWebUI() as webui:
        env = {
            "SD_WEBUI_URL": webui.url,
            "CPU_FALLBACK": "false",
            "RATELIMIT_ENABLED": "false",
        }
        with running_sluice(tmp_path, env) as sluice:
            yield sluice


def test_schemathesis_finds_nothing(sluice: Sluice, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file"]
    command += [str(ROOT / "tests" / "schemathesis.toml"), "run", f"{sluice.url}/openapi.json"]
    command += ["--generation-deterministic", "--no-shrink", "--max-examples", str(EXAMPLES)]
    command += ["--request-timeout", "30", "--workers", "2", "--warnings", "off", "--no-color"]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "Traceback" not in sluice.log()
