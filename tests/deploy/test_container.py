"""What the Dockerfile copies is enough, and runs as the container does: nothing else writable."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.running import API, LISTENS, ROOT, free_port, wait_until

DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
CONFINED = """
mount --make-rprivate /
mount --bind "$DATA_DIR" "$DATA_DIR"
mount --bind "$TMPDIR" "$TMPDIR"
mount -o remount,bind,ro /
exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs -- "$@"
"""
"""compose.yaml's read_only, cap_drop and no-new-privileges; its volume and /tmp."""


def _ignored(folder: str, names: list[str]) -> set[str]:
    rules = (ROOT / ".dockerignore").read_text().split()
    paths = {name: (Path(folder) / name).relative_to(ROOT).as_posix() for name in names}
    excluded = [rule.removeprefix("**/") for rule in rules if rule not in "*" and rule[0] != "!"]
    return {
        name
        for name, path in paths.items()
        if any(fnmatch.fnmatch(path, rule) or fnmatch.fnmatch(name, rule) for rule in excluded)
    }


def _copied(into: Path) -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}
    for source, target in re.findall(r"^COPY (\S+) (\S+)$", DOCKERFILE, re.MULTILINE):
        assert source in allowed
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, into / target, ignore=_ignored)
        else:
            shutil.copy(ROOT / source, into / target)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A gateway in a container's confines."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("mounting needs root")
    home, port = tmp_path / "app", free_port()
    for name in ("app", "data", "tmp"):
        (tmp_path / name).mkdir()
    _copied(home)
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONDONTWRITEBYTECODE": "1",
        "PORT": str(port),
        "DATA_DIR": str(tmp_path / "data"),
        "TMPDIR": str(tmp_path / "tmp"),
        "HOME": str(tmp_path / "tmp"),
        "SD_WEBUI_URL": "none",
    }
    command = ["unshare", "--mount", "sh", "-euc", CONFINED, "sh", sys.executable, "-m", "backend"]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=home, env=environ, stdout=output, stderr=output)
    try:
        wait_until(lambda: LISTENS in log.read_text() or process.poll() is not None, "Sluice runs")
        assert process.poll() is None, log.read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def test_a_picture_is_made_with_nothing_writable_but_the_volume(address: str) -> None:
    body = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 1}
    made = requests.post(f"{address}{API}/txt2img", json=body, timeout=120)
    assert made.status_code == 200, made.text
    assert requests.get(address + made.json()["image_url"], timeout=30).status_code == 200
