"""Settings come from the environment, and the README tells all of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from backend.settings import Settings
from backend.settings_table import with_table
from tests.running import ROOT


@pytest.fixture(autouse=True)
def _no_env_file(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.chdir(str(tmp_path))
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_several_webuis_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SD_WEBUI_URL", "http://u:p@one:7860/, https://two/sd")
    assert Settings().sd_webui_url == ("http://u:p@one:7860", "https://two/sd")


def test_an_unset_and_an_empty_webui_mean_look_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().sd_webui_url is None
    monkeypatch.setenv("SD_WEBUI_URL", "")
    assert Settings().sd_webui_url is None


def test_none_means_no_webui(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SD_WEBUI_URL", "none")
    assert Settings().sd_webui_url == ()


@pytest.mark.parametrize(
    ("written", "meant"),
    [("True", "true"), ("1", "true"), ("off", "false"), ("overflow", "overflow")],
)
def test_cpu_fallback_takes_a_truth_or_overflow(
    monkeypatch: pytest.MonkeyPatch, written: str, meant: str
) -> None:
    monkeypatch.setenv("CPU_FALLBACK", written)
    assert Settings().cpu_fallback == meant


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SD_WEBUI_URL", "ftp://host"),
        ("SD_WEBUI_URL", "localhost:7860"),
        ("PORT", "70000"),
        ("RATELIMIT_GENERATION", "ten a minute"),
        ("QUEUE_TIMEOUT_S", "inf"),
        ("MAX_SIZE", "1001"),
        ("MIN_SIZE", "2040"),
        ("CPU_FALLBACK", "maybe"),
        ("WEBHOOK_SECRET", "whsec_c2hvcnQ="),
        ("PUBLIC_URL", "example.com"),
        ("ACCEL_PREFIX", "kept/"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    if variable == "MIN_SIZE":
        monkeypatch.setenv("MAX_PIXELS", "4096")
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValidationError):
        Settings()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "unix:/s"])
def test_on_this_machine_alone_no_key_is_needed(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("HOST", host)
    assert Settings().auth == "off"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]", "192.168.1.2", "gpu.example", "*"])
def test_beyond_this_machine_someone_has_to_say_whom_to_let_in(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("HOST", host)
    with pytest.raises(ValidationError, match="AUTH=open"):
        Settings()
    for auth in ("keys", "open"):
        monkeypatch.setenv("AUTH", auth)
        assert Settings().auth == auth


def test_a_key_that_nobody_asks_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "sixteen letters!")
    with pytest.raises(ValidationError, match="AUTH=keys"):
        Settings()
    monkeypatch.setenv("AUTH", "keys")
    assert Settings().auth == "keys"


def test_starting_with_a_wrong_setting_names_it_and_ends_with_2() -> None:
    environ = {
        **os.environ,
        "PORT": "http",
        "SD_WEBUI_URL": "http://user:secret@:1",
        "WEBHOOK_SECRET": "whsec_secret",
    }
    ended = subprocess.run(
        [sys.executable, "-m", "backend"], cwd=ROOT, env=environ, capture_output=True, text=True
    )
    assert ended.returncode == 2
    assert "PORT" in ended.stderr
    assert "SD_WEBUI_URL" in ended.stderr
    assert "WEBHOOK_SECRET" in ended.stderr
    assert "secret" not in ended.stderr.replace("webhook_secret", "")


SCALED_OUT = {
    "CELERY_BROKER_URL": "redis://127.0.0.1/1",
    "REDIS_URL": "redis://127.0.0.1/0",
    "DATABASE_URL": "postgresql://127.0.0.1/sluice",
    "WEB_WORKERS": "2",
    "PROMETHEUS_MULTIPROC_DIR": "/tmp/figures",
}


@pytest.mark.parametrize(
    "changes",
    [
        {"REDIS_URL": ""},
        {"DATABASE_URL": ""},
        {"DATABASE_URL": "sqlite:///jobs.db"},
        {"CELERY_BROKER_URL": ""},
        {"PROMETHEUS_MULTIPROC_DIR": ""},
    ],
)
def test_scaled_out_it_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str]
) -> None:
    for name, value in SCALED_OUT.items():
        monkeypatch.setenv(name, value)
    assert Settings().web_workers == 2
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    (missing,) = changes
    with pytest.raises(ValidationError, match=f"(?i){missing}"):
        Settings()


def test_a_folder_for_figures_that_only_env_files_name_is_refused(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text(f"PROMETHEUS_MULTIPROC_DIR={tmp_path}\nSD_WEBUI_URL=none\n")
    with pytest.raises(ValidationError, match="in the environment, not in"):
        Settings(_env_file=env_file)
    env_file.write_text("SD_WEBUI_URL=none\n")
    assert Settings(_env_file=env_file).prometheus_multiproc_dir is None


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [({}, "CELERY_BROKER_URL"), ({**SCALED_OUT, "REDIS_URL": ""}, "REDIS_URL")],
)
def test_a_worker_without_what_it_needs_says_so(environ: dict[str, str], complaint: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "import backend.worker"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
    )
    assert ended.returncode != 0
    assert complaint in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_readme_tells_every_setting() -> None:
    readme = (ROOT / "README.md").read_text()
    assert readme == with_table(readme), "run: python -m backend.settings_table README.md"
