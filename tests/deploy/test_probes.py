"""What Kubernetes asks the containers, to give them no work or start them anew."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.deploy.test_configs import DEPLOY, manifest
from tests.fake_webui import FakeWebUI
from tests.running import API, free_port, wait_until

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
WEBUI = "127.0.0.1:7860"
SLOW_TO_LOAD_S = 120
"""A large checkpoint, while which a WebUI may answer nothing."""


def containers(deployment: str) -> dict[str, dict[str, Any]]:
    pod = manifest("Deployment", deployment)["spec"]["template"]["spec"]
    return {container["name"]: container for container in pod["containers"]}


def ends_well(probe: dict[str, Any], port: int) -> bool:
    """Whether the probe's own command does, on a WebUI at `port`."""
    program, *arguments = probe["exec"]["command"]
    assert program == "python"
    assert sum(WEBUI in argument for argument in arguments) == 1
    here = [argument.replace(WEBUI, f"127.0.0.1:{port}") for argument in arguments]
    done = subprocess.run([sys.executable, *here], timeout=30, capture_output=True)
    return done.returncode == 0


def test_every_container_is_probed_in_every_way() -> None:
    for deployment in ("sluice-gateway", "sluice-worker"):
        for container in containers(deployment).values():
            assert [probe for probe in PROBES if probe not in container] == []


def test_the_gateway_is_asked_what_it_answers() -> None:
    gateway = containers("sluice-gateway")["gateway"]
    asked = {gateway[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe")}
    assert asked == {f"{API}/health/live"}
    assert gateway["readinessProbe"]["httpGet"]["path"] == f"{API}/health/ready"
    assert f"{API}/health/live" in (DEPLOY / "Dockerfile").read_text()


def test_the_worker_is_asked_for_its_figures() -> None:
    worker = containers("sluice-worker")["worker"]
    assert {"name": "metrics", "containerPort": 9540} in worker["ports"]
    for probe in PROBES:
        assert worker[probe]["httpGet"] == {"path": "/metrics", "port": "metrics"}


@pytest.mark.parametrize("kind", PROBES)
def test_a_webui_at_work_is_well(kind: str) -> None:
    probe = containers("sluice-worker")["webui"][kind]
    with FakeWebUI() as webui, ThreadPoolExecutor(1) as caller:
        webui.model.state.hold(at_step=1)
        body = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 2}
        made = caller.submit(requests.post, f"{webui.url}/sdapi/v1/txt2img", json=body, timeout=60)
        wait_until(lambda: webui.in_flight == 1, "a generation is under way")
        try:
            assert ends_well(probe, webui.port)
            assert not made.done()
        finally:
            webui.model.state.release()


def test_a_webui_that_starts_or_has_died_is_not_well() -> None:
    probe = containers("sluice-worker")["webui"]["livenessProbe"]
    with FakeWebUI(starting=True) as webui:
        assert not ends_well(probe, webui.port)
    assert not ends_well(probe, free_port())


def test_a_webui_that_loads_a_checkpoint_is_left_to_it() -> None:
    probe = containers("sluice-worker")["webui"]["livenessProbe"]
    assert probe["periodSeconds"] * (probe["failureThreshold"] - 1) > SLOW_TO_LOAD_S
