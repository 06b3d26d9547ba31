"""gunicorn as configured: whom it believes, what it bounds, whose figures it forgets."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_webui import FakeWebUI
from tests.running import API, LISTENS, Sluice, running_sluice, wait_until

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
