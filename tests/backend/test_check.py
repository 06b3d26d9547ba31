"""`python -m backend check`: what it finds, and how it says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fake_webui import FakeWebUI
from tests.running import ROOT, free_port, running_redis


def check(data_dir: Path, **env: str) -> tuple[int, dict[str, str]]:
    """Its exit status, and its lines by what they are about."""
    environ = {"PATH": os.environ["PATH"], "DATA_DIR": str(data_dir), **env}
    done = subprocess.run(
        [sys.executable, "-m", "backend", "check"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    found: dict[str, str] = {}
    for line in done.stdout.splitlines():
        what, _, words = line.partition(": ")
        found[what.strip()] = found.get(what.strip(), "") + words
    return done.returncode, found


def test_all_is_well(tmp_path: Path) -> None:
    with FakeWebUI() as webui, running_redis(tmp_path) as (redis, _):
        status, found = check(tmp_path, SD_WEBUI_URL=webui.url, REDIS_URL=redis)
    assert status == 0
    assert list(found) == [
        f"ok      {what}"
        for what in ("settings", "engine webui", "engine embedded", "redis", "database", "store")
    ]
    assert found["ok      engine webui"].startswith("GPU tier, 2 checkpoints, loaded: tiny")


def test_each_that_is_not_there_is_named_without_its_password(tmp_path: Path) -> None:
    away = f"127.0.0.1:{free_port()}"
    (tmp_path / "images").write_text("in the way of the store")
    status, found = check(
        tmp_path,
        SD_WEBUI_URL=f"http://me:planted@{away}",
        CPU_FALLBACK="false",
        REDIS_URL=f"redis://:planted@{away}/0",
        DATABASE_URL=f"postgresql://me:planted@{away}/db",
    )
    assert status == 1
    assert [line for line in found if line.startswith("ok")] == ["ok      settings"]
    assert len(found) == 5
    assert "planted" not in str(found)


def test_the_broker_is_looked_at_too_when_scaled_out(tmp_path: Path) -> None:
    away = f"127.0.0.1:{free_port()}"
    with running_redis(tmp_path) as (redis, _):
        here = {
            "SD_WEBUI_URL": f"http://{away}",
            "CPU_FALLBACK": "false",
            "REDIS_URL": redis,
            "DATABASE_URL": f"postgresql://{away}/db",
        }
        _, found = check(tmp_path, **here, CELERY_BROKER_URL=redis)
        assert found["ok      broker"] == "redis answers"
        _, found = check(tmp_path, **here, CELERY_BROKER_URL=f"redis://:planted@{away}/1")
    assert found["FAILED  broker"] == "does not answer (OperationalError)"


def test_what_cannot_be_made_is_a_line_and_not_the_end(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    status, found = check(
        tmp_path / "file" / "data",
        SD_WEBUI_URL=f"http://127.0.0.1:{free_port()}",
        CPU_FALLBACK="false",
    )
    assert status == 1
    assert found["FAILED  database"] == "cannot be used: Not a directory"
    assert found["FAILED  store"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"MIN_SIZE": "65"},
        {
            "PORT": "many",
            "REDIS_URL": "redis://:plant/ed@host:6379/0",
            "DATABASE_URL": "postgresql://host:planted/",
            "CELERY_BROKER_URL": "planted",
        },
        {"REDIS_URL": "http://planted", "DATABASE_URL": "mysql://planted"},
    ],
)
def test_settings_that_make_no_sense_end_it(tmp_path: Path, wrong: dict[str, str]) -> None:
    status, found = check(tmp_path, **wrong)
    assert status == 1
    assert set(found) == {"FAILED  settings"}
    assert "plant" not in str(found)
    assert all(name in str(found) for name in wrong)
