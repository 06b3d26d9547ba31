"""The operators' page: what it names is there, and its lines give an nginx that would start."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.running import ROOT, installed

PAGE = (ROOT / "deploy" / "README.md").read_text()
STOCK = Path("/etc/nginx")
IN_A_COPY = """
mount --make-rprivate /
mount --bind "$0" /etc/nginx
"""


def test_what_it_names_is_there() -> None:
    named = set(re.findall(r"deploy/[\w./-]*\w", PAGE)) - {"deploy/.env", "deploy/sluice.env"}
    made = {name for name in named if name.startswith("deploy/nginx/tls/")}
    assert len(named) > 10
    assert {name for name in named - made if not (ROOT / name).exists()} == set()


def test_its_lines_for_nginx_work_with_the_systems_own_configuration(tmp_path: Path) -> None:
    installed("nginx")
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("mounting needs root")
    copy = tmp_path / "nginx"
    shutil.copytree(STOCK, copy, symlinks=True)
    [block] = re.findall(r"^nginx before it:\n\n((?:    .*\n)+)", PAGE, re.MULTILINE)
    lines = block.replace("&& systemctl restart nginx", "")
    command = ["unshare", "--mount", "sh", "-euc", IN_A_COPY + lines, copy]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "test is successful" in done.stderr
