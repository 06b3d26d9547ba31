"""A gateway before a fake WebUI, one of each for a worker's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_webui import FakeWebUI
from tests.running import Sluice, running_sluice

NO_LIMITS = {"RATELIMIT_ENABLED": "false"}


@pytest.fixture(scope="session")
def webui() -> Iterator[FakeWebUI]:
    with FakeWebUI() as webui:
        yield webui


@pytest.fixture(scope="session")
def sluice(webui: FakeWebUI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sluice]:
    """Before the fake WebUI, without limits, a stand-in, or pictures of earlier tests."""
    env = {
        "SD_WEBUI_URL": webui.url,
        "CPU_FALLBACK": "false",
        "RESULT_CACHE": "off",
        **NO_LIMITS,
    }
    with running_sluice(tmp_path_factory.mktemp("sluice"), env) as sluice:
        yield sluice


def stored_files(data_dir: Path) -> set[Path]:
    """Every file below `data_dir`, but the embedded engine's own cache."""
    return {path for path in data_dir.rglob("*") if path.is_file() and "openvino" not in path.parts}
