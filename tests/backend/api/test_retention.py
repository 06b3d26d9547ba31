"""What is kept goes in its time, and the answers say that it was there."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.backend.api.conftest import NO_LIMITS
from tests.fake_webui import FakeWebUI
from tests.running import API, Sluice, running_sluice, wait_until

SMALL = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 1}
NEVER = f"{API}/image/2f27f149-8d5f-4cb6-840f-882939b1a62c"


def let_age(folder: Path) -> None:
    then = time.time() - 3600
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (then, then))


def code(sluice: Sluice, path: str) -> tuple[int, str]:
    answer = sluice.get(path)
    return answer.status_code, answer.json()["code"]


def test_an_image_that_was_swept_is_gone(tmp_path: Path) -> None:
    with FakeWebUI() as webui:
        env = {"SD_WEBUI_URL": webui.url, "CPU_FALLBACK": "false", "IMAGE_TTL": "1800", **NO_LIMITS}
        with running_sluice(tmp_path, env) as sluice:
            url = sluice.post("txt2img", json=SMALL).json()["image_url"]
            assert sluice.stop() == 0
            let_age(sluice.data_dir / "images")
            sluice.start()
            wait_until(lambda: sluice.get(url).status_code != 200, "the image is swept")
            for gone in (url, f"{url}?width=32"):
                assert code(sluice, gone) == (410, "image_gone")
            assert code(sluice, NEVER) == (404, "image_not_found")


def test_a_job_is_forgotten_and_its_image_stays_until_its_own_time(tmp_path: Path) -> None:
    with FakeWebUI() as webui:
        env = {"SD_WEBUI_URL": webui.url, "CPU_FALLBACK": "false", "JOB_TTL": "1", **NO_LIMITS}
        with running_sluice(tmp_path, env) as sluice:
            answer = sluice.post("txt2img", json=SMALL).json()
            jobs = f"{API}/jobs"
            wait_until(lambda: not sluice.get(jobs).json()["jobs"], "the job is forgotten")
            assert sluice.get(answer["image_url"]).status_code == 200
            for image in (sluice.data_dir / "images").glob("*/*"):
                image.unlink()
            assert code(sluice, answer["image_url"]) == (404, "image_not_found")
