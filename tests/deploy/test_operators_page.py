"""The operators' page: what it names is there, and its lines give an nginx that would start."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.firewall import require_counting_firewall
from tests.running import ROOT, installed

PAGE = (ROOT / "deploy" / "README.md").read_text()
STOCK = Path("/etc/nginx")
IN_A_COPY = """
mount --make-rprivate /
mount --bind "$0" /etc/nginx
"""


def test_what_it_names_is_there() -> None:
    named = set(re.findall(r"deploy/[\w./-]*\w", PAGE)) - {"deploy/.env", "deploy/sluice.env"}
    made = {name for name in named if name.startswith("deploy/nginx/tls")}
    assert len(named) > 10
    assert {name for name in named - made if not (ROOT / name).exists()} == set()


def lines_of(step: str) -> str:
    """The first commands of a numbered step."""
    after = re.split(rf"^### \d+\. {step}\n", PAGE, flags=re.MULTILINE)[1]
    block = re.search(r"^(?:    .*\n)+", after, re.MULTILINE)
    assert block is not None
    return block[0].replace("&& systemctl restart nginx", "")


def test_its_lines_for_nginx_work_with_the_systems_own_configuration(tmp_path: Path) -> None:
    installed("nginx")
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("mounting needs root")
    copy = tmp_path / "nginx"
    shutil.copytree(STOCK, copy, symlinks=True)
    lines = lines_of("nginx before it") + lines_of("Connections enough for all")
    command = ["unshare", "--mount", "sh", "-euc", IN_A_COPY + lines * 2, str(copy)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("test is successful") == 4
    told = (copy / "nginx.conf").read_text()
    assert "worker_connections 4096;" in told
    assert told.count("worker_rlimit_nofile 16384;") == 1


def test_its_firewall_is_one_that_debian_would_load(tmp_path: Path) -> None:
    nft = installed("nft")
    if subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode:
        pytest.skip("a network of its own needs root")
    require_counting_firewall("unshare", "--net")
    (tmp_path / "nftables.conf").write_text("flush ruleset\n")
    lines = lines_of("No more than 200 for one address").replace(
        "/etc/nftables", f"{tmp_path}/nftables"
    )
    lines = lines.replace("&& systemctl enable nftables", "").replace("nft -", f"{nft} -")
    told = f"{lines}{nft} list table inet sluice"
    done = subprocess.run(
        ["unshare", "--net", "sh", "-euc", told], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "ct count over 200" in done.stdout


def test_its_lines_make_prometheus_scrape_here_and_tell_an_alertmanager(tmp_path: Path) -> None:
    promtool = installed("promtool")
    shutil.copytree(ROOT / "deploy" / "prometheus", tmp_path, dirs_exist_ok=True)
    edits = re.findall(r"sed -i '[^']+' /etc/prometheus/prometheus.yml", PAGE)
    assert len(edits) == 2
    for edit in edits:
        here = edit.replace("/etc/prometheus", str(tmp_path))
        subprocess.run(["sh", "-euc", here], check=True)
    config = tmp_path / "prometheus.yml"
    subprocess.run([promtool, "check", "config", config], check=True, capture_output=True)
    told = yaml.safe_load(config.read_text())
    [alertmanager] = told["alerting"]["alertmanagers"]
    assert alertmanager["static_configs"] == [{"targets": ["127.0.0.1:9093"]}]
    gateway = told["scrape_configs"][0]
    assert gateway["static_configs"] == [{"targets": ["127.0.0.1:5002"]}]
