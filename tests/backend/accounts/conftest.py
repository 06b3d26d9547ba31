"""A gateway that asks for keys, and keys made for it as a person would."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from backend.accounts import commands
from backend.accounts.register import KeyRegister
from backend.jobs.database import open_database
from tests.fake_webui import FakeWebUI
from tests.running import ROOT, Sluice, running_sluice

STATIC = "a-key-that-stands-in-the-environment"
SETTINGS = {
    "AUTH": "keys",
    "API_KEY": STATIC,
    "CPU_FALLBACK": "false",
    "RESULT_CACHE": "off",
    "RATELIMIT_GENERATION": "1000/minute",
    "RATELIMIT_GLOBAL": "1000/minute",
    "RATELIMIT_WRONG_KEYS": "5/minute",
    "TRUSTED_PROXIES": "1",
}


@pytest.fixture(scope="session")
def webui() -> Iterator[FakeWebUI]:
    with FakeWebUI() as webui:
        yield webui


@pytest.fixture(scope="session")
def locked(webui: FakeWebUI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sluice]:
    """Asks for keys; tells callers without one apart by X-Forwarded-For."""
    env = {"SD_WEBUI_URL": webui.url, **SETTINGS}
    with running_sluice(tmp_path_factory.mktemp("locked"), env) as sluice:
        yield sluice


def keys(sluice: Sluice, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m backend keys` on the data of `sluice`."""
    command = [sys.executable, "-m", "backend", "keys", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=sluice.environ, capture_output=True, text=True, timeout=60
    )


def new_key(sluice: Sluice, *options: str) -> str:
    """`keys create` as above, without the time a new process takes."""
    database = open_database(None, sluice.data_dir)
    with redirect_stdout(io.StringIO()) as told:
        assert commands.run(KeyRegister(database), ["create", "for a test", *options]) == 0
    database.dispose()
    return told.getvalue().strip()


def stored(data_dir: Path) -> bytes:
    """All bytes of the database."""
    return b"".join(path.read_bytes() for path in data_dir.glob("sluice.db*"))
