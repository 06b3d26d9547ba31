"""What tells how the service is doing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.fake_webui import FakeWebUI
from tests.running import API, Sluice, free_port, running_sluice, wait_until

SMALL = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 1}


def test_health_tells_of_each_engine_redis_and_storage(sluice: Sluice) -> None:
    health = sluice.get(f"{API}/health").json()
    (engine,) = health["engines"]
    assert health["status"] == "ok"
    assert (engine["name"], engine["tier"], engine["state"]) == ("webui", "gpu", "up")
    assert engine["loaded"] in ("tinyA", "tinyB")
    assert health["redis"]["status"] == "not used"
    assert health["storage"]["status"] == "ok"
    assert health["queue"]["max"] == 100


def test_live_and_ready_answer_200_while_an_engine_is_up(sluice: Sluice) -> None:
    assert sluice.get(f"{API}/health/live").status_code == 200
    assert sluice.get(f"{API}/health/ready").status_code == 200


def test_models_and_samplers_hold_no_paths(sluice: Sluice) -> None:
    models = sluice.get(f"{API}/models")
    assert [model["name"] for model in models.json()["models"]] == ["tinyA", "tinyB"]
    assert [model["loaded_on"] for model in models.json()["models"]].count(["webui"]) == 1
    samplers = sluice.get(f"{API}/samplers")
    assert "Euler a" in [sampler["name"] for sampler in samplers.json()["samplers"]]
    assert samplers.json()["schedulers"]
    for answer in (models, samplers, sluice.get(f"{API}/health")):
        assert "/opt/" not in answer.text
        assert ".safetensors/" not in answer.text


def test_metrics_count_requests_and_show_engines(sluice: Sluice) -> None:
    sluice.post("txt2img", json=SMALL)
    text = sluice.get("/metrics").text
    assert f'sluice_requests_total{{method="POST",route="{API}/txt2img",status="200"}}' in text
    assert 'sluice_engine_state{engine="webui",state="up",tier="gpu",view="own"} 1.0' in text
    assert 'sluice_images_total{engine="webui",kind="txt2img"}' in text


def test_a_database_that_fails_is_told_of(tmp_path: Path, webui: FakeWebUI) -> None:
    env = {"SD_WEBUI_URL": webui.url, "CPU_FALLBACK": "false"}
    with running_sluice(tmp_path, env) as sluice:
        assert sluice.get(f"{API}/health").json()["database"] == {"status": "ok"}
        with closing(sqlite3.connect(sluice.data_dir / "sluice.db")) as database:
            database.execute("ALTER TABLE jobs RENAME TO elsewhere")
            health = sluice.get(f"{API}/health").json()
            database.execute("ALTER TABLE elsewhere RENAME TO jobs")
    assert (health["status"], health["database"]["status"]) == ("degraded", "failing")
    assert "sqlite" not in health["database"]["detail"].lower()


def test_a_webui_that_is_down_means_503_and_is_found_when_it_comes(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    port = free_port()
    env = {"SD_WEBUI_URL": f"http://127.0.0.1:{port}", "CPU_FALLBACK": "false"}
    with running_sluice(tmp_path_factory.mktemp("down"), env) as sluice:
        assert sluice.get(f"{API}/health/ready").status_code == 503
        assert sluice.get(f"{API}/health").json()["status"] == "down"
        refused = sluice.post("txt2img", json=SMALL)
        assert (refused.status_code, refused.json()["code"]) == (503, "no_engine")
        assert int(refused.headers["Retry-After"]) >= 1
        with FakeWebUI(port=port):
            wait_until(lambda: sluice.get(f"{API}/health/ready").status_code == 200, "ready")
            assert sluice.post("txt2img", json=SMALL).status_code == 200
