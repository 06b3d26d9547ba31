"""A job's events reach `curl -N` through a plain nginx as they happen, not when it is over."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.fake_webui import FakeWebUI
from tests.nginx import running_nginx
from tests.running import API, running_sluice

LONG = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 150}
ASYNC = {"Prefer": "respond-async"}


def test_events_come_unbuffered_through_nginx(tmp_path: Path) -> None:
    with FakeWebUI(step_latency_s=0.2) as webui:
        env = {"SD_WEBUI_URL": webui.url, "CPU_FALLBACK": "false"}
        with (
            running_sluice(tmp_path, env) as sluice,
            running_nginx(tmp_path, sluice.port) as front,
        ):
            job = sluice.post("txt2img", json=LONG, headers=ASYNC).json()
            command = ["curl", "-sN", f"{front}{job['urls']['events']}"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as curl:
                assert curl.stdout is not None
                events = (line.split(": ")[1].strip() for line in curl.stdout if "event:" in line)
                assert next(events) == "processing"
                state = sluice.get(f"{API}/jobs/{job['job_id']}").json()["status"]
                assert state == "processing"
                sluice.http.delete(sluice.url + job["urls"]["cancel"], timeout=10)
                assert list(events)[-1] == "canceled"
