"""gunicorn as configured: whom it believes, what it bounds, whose figures it forgets."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.fake_webui import FakeWebUI
from tests.running import API, LISTENS, ROOT, Sluice, free_port, running_sluice, wait_until

STALE = ("counter_999999.db", "gauge_liveall_999999.db")


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PROMETHEUS_MULTIPROC_DIR, with what a killed process left there and a file of another's."""
    folder = tmp_path_factory.mktemp("figures")
    for name in (*STALE, "README"):
        (folder / name).write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def sluice(
    tmp_path_factory: pytest.TempPathFactory, figures: Path, webui: FakeWebUI
) -> Iterator[Sluice]:
    env = {
        "PROMETHEUS_MULTIPROC_DIR": str(figures),
        "SD_WEBUI_URL": webui.url,
        "CPU_FALLBACK": "false",
    }
    with running_sluice(tmp_path_factory.mktemp("sluice"), env) as sluice:
        yield sluice


@pytest.mark.parametrize("name", ["SCRIPT_NAME", "PATH_INFO"])
def test_no_caller_moves_the_paths_even_from_this_machine(sluice: Sluice, name: str) -> None:
    moved = sluice.get(f"/moved{API}/health/live", headers={name: "/moved"})
    assert moved.status_code == 404


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/" + "x" * 4100, {}),
        ("/", {"X-Long": "x" * 8300}),
        ("/", {f"X-Many-{n}": "x" for n in range(70)}),
    ],
    ids=["line", "header", "headers"],
)
def test_lines_and_headers_are_bounded(sluice: Sluice, path: str, headers: dict[str, str]) -> None:
    assert 400 <= sluice.get(path, headers=headers).status_code < 500


def test_all_it_prints_is_json_lines(tmp_path: Path, webui: FakeWebUI) -> None:
    with running_sluice(tmp_path, {"SD_WEBUI_URL": webui.url, "CPU_FALLBACK": "false"}) as sluice:
        [child] = (
            Path(f"/proc/{sluice.process.pid}/task/{sluice.process.pid}/children")
            .read_text()
            .split()
        )
        os.kill(int(child), signal.SIGKILL)
        wait_until(lambda: sluice.log().count(LISTENS) == 2, "gunicorn has started another")
    lines = [json.loads(line) for line in sluice.log().splitlines()]
    [listens, _] = [line for line in lines if line["event"] == f"{LISTENS} {sluice.url}"]
    assert [engine["tier"] for engine in listens["engines"]] == ["gpu"]
    assert any("SIGKILL" in line["event"] for line in lines)


def test_figures_of_processes_past_are_forgotten(sluice: Sluice, figures: Path) -> None:
    assert sluice.get("/metrics").status_code == 200
    assert not any((figures / name).exists() for name in STALE)
    assert (figures / "README").exists()

    [pid] = {re.findall(r"_(\d+)\.db", path.name)[0] for path in figures.glob("counter_*.db")}
    live = figures / f"gauge_liveall_{pid}.db"
    live.write_bytes(b"")
    assert sluice.stop() == 0
    assert not live.exists()


def refused_start(*arguments: str, **env: str) -> str:
    """What gunicorn says when it does not start."""
    ended = subprocess.run(
        [sys.executable, "-m", "gunicorn", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "SD_WEBUI_URL": "none", **env},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1
    return ended.stderr


def test_it_binds_nothing_that_lets_strangers_in_unasked(tmp_path: Path) -> None:
    said = refused_start("--bind", f"0.0.0.0:{free_port()}", DATA_DIR=str(tmp_path))
    assert said.startswith("AUTH: ")


def test_a_folder_of_figures_that_holds_a_database_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "sluice.db").write_bytes(b"jobs")
    (tmp_path / STALE[0]).write_bytes(b"")
    folder = str(tmp_path)
    said = refused_start(DATA_DIR=folder, PROMETHEUS_MULTIPROC_DIR=folder, PORT=str(free_port()))
    assert "sluice.db" in said
    assert (tmp_path / "sluice.db").read_bytes() == b"jobs"
    assert (tmp_path / STALE[0]).exists()


def test_who_connects_and_says_nothing_does_not_keep_it_from_stopping(tmp_path: Path) -> None:
    threads = 4
    env = {"SD_WEBUI_URL": f"http://127.0.0.1:{free_port()}", "CPU_FALLBACK": "false"}
    longer_than_is_waited = {"GRACE_S": "60", "THREADS": str(threads)}
    with ExitStack() as stack, running_sluice(tmp_path, env | longer_than_is_waited) as sluice:
        for _ in range(threads):
            stack.enter_context(socket.create_connection(("127.0.0.1", sluice.port)))
        # Answered only once they are no longer waited for by a thread each.
        assert sluice.get(f"{API}/health/live").status_code == 200
        assert sluice.stop() == 0
