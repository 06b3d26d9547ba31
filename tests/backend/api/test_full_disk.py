"""A full disk: the picture still comes in the answer; only who wanted a URL alone is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from ai.pool import EnginePool
from backend import create_app
from backend.generate import ImageGenerator
from backend.jobs.repeats import Repeats
from backend.jobs.runner import JobRunner
from backend.seats import Seats
from backend.services import build_services
from backend.settings import Settings
from backend.storage.base import StorageFull, StoredImage
from backend.storage.local import LocalImageStore
from tests.fake_webui import FakeWebUI
from tests.pictures import from_data_uri, opened
from tests.running import API

SMALL = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 1}


class FullStore(LocalImageStore):
    """A store that has no room left."""

    def put(self, data: bytes, media_type: str) -> StoredImage:
        raise StorageFull("The disk that keeps the images is full.")


@pytest.fixture
def client(tmp_path: Path) -> Iterator[FlaskClient]:
    with FakeWebUI() as webui:
        settings = Settings(data_dir=tmp_path, sd_webui_url=(webui.url,), cpu_fallback="false")
        services = build_services(settings)
        store = FullStore(tmp_path / "full", max_bytes=2**20, ttl_s=60)
        assert isinstance(services.pool, EnginePool)
        runner = JobRunner(services.pool, services.ledger, store, Repeats(None), services.admission)
        app = create_app(services=replace(services, generator=ImageGenerator(runner, Seats(4), 30)))
        yield app.test_client()
        runner.drain(0)
        services.close()
        store.close()


def test_the_picture_still_comes_with_a_warning_and_without_a_url(client: FlaskClient) -> None:
    answer = client.post(f"{API}/txt2img", json=SMALL)
    body = answer.get_json()
    assert answer.status_code == 200
    assert opened(from_data_uri(body["image_base64"])).size == (64, 64)
    assert (body["image_id"], body["image_url"]) == (None, None)
    assert "full" in body["warnings"][0]


def test_who_wanted_only_a_url_is_told_507(client: FlaskClient) -> None:
    answer = client.post(f"{API}/txt2img", json=SMALL | {"response_format": "url"})
    assert answer.status_code == 507
    assert answer.get_json()["code"] == "storage_full"
