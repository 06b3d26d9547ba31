"""What cannot be started here is held against its linter or schema, and against the settings."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

import kubernetes_validate
import pytest
import yaml

from backend.settings import Settings
from tests.deploy.front import SHIPPED, Front, running_front
from tests.running import ROOT, free_port, installed

DEPLOY = ROOT / "deploy"
GRAFANA = DEPLOY / "grafana"
TOOLS = Path(sys.executable).parent
SETTINGS = {name.upper() for name in Settings.model_fields}
AFTER_GRACE_S = 15
"""gunicorn.conf.py's own time to put back what is left."""
EXPOSURE = 30
"""systemd-analyze's threshold, in tenths."""
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
KUBERNETES = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
MANIFESTS: list[dict[str, Any]] = [
    manifest
    for path in KUBERNETES
    if path.name != "kustomization.yaml"
    for manifest in yaml.safe_load_all(path.read_text())
]


def check(*command: object) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def manifest(kind: str, name: str) -> dict[str, Any]:
    [found] = [m for m in MANIFESTS if (m["kind"], m["metadata"]["name"]) == (kind, name)]
    return found


def env_file_names(path: Path) -> set[str]:
    return set(re.findall(r"^#? ?([A-Z_]+)=", path.read_text(), re.MULTILINE))


def images() -> Iterator[str]:
    for service in COMPOSE["services"].values():
        yield re.sub(r"\$\{\w+:-(.*)\}", r"\1", service["image"])
    yield from re.findall(r"^FROM (\S+)", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)


def test_the_dockerfile_pleases_its_linter() -> None:
    check(TOOLS / "hadolint", DEPLOY / "Dockerfile")


def test_the_compose_file_follows_its_schema() -> None:
    schema = ["--builtin-schema", "vendor.compose-spec"]
    check(TOOLS / "check-jsonschema", *schema, DEPLOY / "compose.yaml")


def test_every_image_is_pinned() -> None:
    loose = [i for i in images() if i != "sluice" and not re.search(r"(:\d[\w.-]+|:v\d.*)$", i)]
    assert loose == ["universonic/stable-diffusion-webui:minimal"]


def test_compose_mounts_what_is_there() -> None:
    mounts = [v for service in COMPOSE["services"].values() for v in service.get("volumes", ())]
    sources = [mount.split(":")[0] for mount in mounts if mount.startswith("./")]
    assert sources
    assert [source for source in sources if not (DEPLOY / source).exists()] == []


def test_grafana_finds_prometheus_on_both_roads() -> None:
    sources = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())
    address = Template(sources["datasources"][0]["url"])
    in_compose = COMPOSE["services"]["grafana"]["environment"]
    on_debian = dict(
        re.findall(r"^(\w+)=(.*)$", (GRAFANA / "grafana-server.env").read_text(), re.M)
    )
    assert "prometheus" in COMPOSE["services"]
    assert address.substitute(in_compose) == "http://prometheus:9090"
    assert address.substitute(on_debian) == "http://127.0.0.1:9090"
    assert on_debian["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"
    page = (DEPLOY / "README.md").read_text()
    assert "cat deploy/grafana/grafana-server.env >> /etc/default/grafana-server" in page
    assert "--web.listen-address=127.0.0.1:9090" in page


def test_only_nginx_is_open_to_the_world() -> None:
    services = COMPOSE["services"].items()
    public = {name for name, s in services for p in s.get("ports", ()) if p.count(":") == 1}
    assert public == {"nginx"}
    assert COMPOSE["networks"]["inner"]["internal"] is True


@pytest.mark.parametrize("path", KUBERNETES, ids=lambda path: path.name)
def test_kubernetes_would_take_the_manifests(path: Path) -> None:
    for resource in yaml.safe_load_all(path.read_text()):
        if resource["kind"] != "Kustomization":
            kubernetes_validate.validate(resource, "1.37", strict=True)


def test_the_kustomization_names_every_manifest() -> None:
    named = yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())["resources"]
    assert {path.name for path in KUBERNETES} == {*named, "kustomization.yaml"}


def test_only_settings_that_exist_are_set() -> None:
    told = set(COMPOSE["services"]["gateway"]["environment"])
    told |= set(manifest("ConfigMap", "sluice")["data"])
    told |= env_file_names(DEPLOY / "sluice.env.example")
    [worker, _] = manifest("Deployment", "sluice-worker")["spec"]["template"]["spec"]["containers"]
    told |= {variable["name"] for variable in worker["env"]}
    assert told - SETTINGS - {"CELERY_BROKER_URL"} == set()


def test_workers_are_scraped_where_they_show_their_metrics() -> None:
    port = Settings(_env_file=None).metrics_port
    jobs = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    [found] = [job for job in jobs if job["job_name"] == "sluice-worker"]
    assert found["dns_sd_configs"] == [{"names": ["worker"], "type": "A", "port": port}]
    pod = manifest("Deployment", "sluice-worker")["spec"]["template"]
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == str(port)
    assert pod["spec"]["containers"][0]["ports"] == [{"name": "metrics", "containerPort": port}]
    everywhere = {"METRICS_HOST": "0.0.0.0"}
    assert everywhere.items() <= COMPOSE["services"]["worker"]["environment"].items()
    assert everywhere.items() <= manifest("ConfigMap", "sluice")["data"].items()


def test_a_stopped_gateway_has_time_to_drain() -> None:
    needed_s = Settings(_env_file=None).grace_s + AFTER_GRACE_S
    common = (DEPLOY / "systemd" / "sluice-.service.d" / "common.conf").read_text()
    given = [
        COMPOSE["services"]["gateway"]["stop_grace_period"].removesuffix("s"),
        re.findall(r"^TimeoutStopSec=(\d+)$", common, re.MULTILINE)[0],
        *(
            manifest("Deployment", name)["spec"]["template"]["spec"][
                "terminationGracePeriodSeconds"
            ]
            for name in ("sluice-gateway", "sluice-worker")
        ),
    ]
    assert [seconds for seconds in given if int(seconds) <= needed_s] == []


def test_the_ingress_lets_through_what_nginx_would() -> None:
    ingress = manifest("Ingress", "sluice")
    prefix = "nginx.ingress.kubernetes.io/"
    told = {k.removeprefix(prefix): v for k, v in ingress["metadata"]["annotations"].items()}
    conf = (SHIPPED / "sluice.conf").read_text() + (SHIPPED / "gateway.conf").read_text()
    assert f"client_max_body_size {told['proxy-body-size']};" in conf
    assert f"proxy_read_timeout {told['proxy-read-timeout']}s;" in conf
    [rule] = ingress["spec"]["rules"]
    open_paths = [path["path"] for path in rule["http"]["paths"] if path["pathType"] == "Prefix"]
    assert not any("/metrics".startswith(path) for path in open_paths)


@pytest.mark.parametrize("unit", ["sluice-gateway", "sluice-worker"])
def test_the_units_are_hardened(tmp_path: Path, unit: str) -> None:
    program = installed("systemd-analyze")
    shutil.copytree(DEPLOY / "systemd", tmp_path / "etc" / "systemd" / "system")
    threshold = ["--offline=true", f"--threshold={EXPOSURE}", "--no-pager"]
    check(program, "security", f"--root={tmp_path}", *threshold, f"{unit}.service")


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    with running_front([free_port()], tmp_path) as front:
        yield front


def test_nginx_has_no_known_hole(front: Front) -> None:
    check(TOOLS / "gixy", "-ll", front.folder / "nginx.conf")
