"""A gateway behind nginx as shipped: events, uploads, addresses and request ids through both."""

from __future__ import annotations

import os

import pytest
from PIL import Image

from backend.api.bodies import body_limit
from backend.api.schemas import Img2ImgBody, InpaintingBody, Txt2ImgBody
from backend.settings import Settings
from tests.deploy.front import SHIPPED, Front, shipped_seconds
from tests.fake_webui import FakeWebUI
from tests.pictures import data_uri, encoded
from tests.running import API, Sluice, wait_until

SMALL = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 4}
ASYNC = {"Prefer": "respond-async"}


def test_nginx_reads_as_large_an_upload_as_the_gateway() -> None:
    largest = max(
        body_limit(body, Settings(_env_file=None).max_image_bytes)
        for body in (Txt2ImgBody, Img2ImgBody, InpaintingBody)
    )
    assert f"client_max_body_size {largest};" in (SHIPPED / "sluice.conf").read_text()


def test_nginx_waits_longer_than_the_gateway_and_that_longer_than_an_engine() -> None:
    settings = Settings(_env_file=None)
    nginx_s = shipped_seconds("gateway.conf", "proxy_read_timeout")
    assert nginx_s > settings.request_deadline_s > settings.webui_read_timeout_s


def test_a_picture_is_made_through_both(front: Front) -> None:
    answer = front.client().post(f"{front.url}{API}/txt2img", json=SMALL, timeout=60)
    assert answer.status_code == 200
    assert answer.headers["RateLimit"].startswith('"generation";r=')
    assert answer.headers["Strict-Transport-Security"] == "max-age=63072000"


def test_a_large_upload_arrives_whole(front: Front, webui: FakeWebUI) -> None:
    picture = encoded(Image.frombytes("RGB", (1200, 1200), os.urandom(1200 * 1200 * 3)))
    assert len(picture) > 4_000_000
    body = {"prompt": "a red circle", "image": data_uri(picture), "steps": 1, "width": 64}
    answer = front.client().post(f"{front.url}{API}/img2img", json=body | {"height": 64})
    assert answer.status_code == 200, answer.text


def test_events_come_as_they_happen(front: Front, sluice: Sluice, webui: FakeWebUI) -> None:
    webui.model.state.hold(at_step=2)
    client = front.client()
    job = client.post(f"{front.url}{API}/txt2img", json=SMALL, headers=ASYNC, timeout=30).json()
    with client.get(front.url + job["urls"]["events"], stream=True, timeout=30) as told:
        events = (line for line in told.iter_lines() if line.startswith(b"event:"))
        assert next(events) == b"event: processing"
        assert sluice.get(f"{API}/jobs/{job['job_id']}").json()["status"] == "processing"
        webui.model.state.release()
        assert list(events)[-1] == b"event: succeeded"


@pytest.mark.parametrize("claimed", ["203.0.113.7", "127.0.0.1", "203.0.113.7, 127.0.0.40"])
def test_who_claims_another_address_is_not_believed(front: Front, claimed: str) -> None:
    client = front.client("127.0.0.40")
    claims = {
        "X-Forwarded-For": claimed,
        "X-Real-IP": claimed,
        "Forwarded": f"for={claimed}",
        "X-Forwarded-Proto": "http",
    }
    left = [
        client.get(f"{front.url}{API}/models", headers=headers, timeout=30).headers["RateLimit"]
        for headers in ({}, claims)
    ]
    before, after = (int(told.split('"global";r=')[1].split(";")[0]) for told in left)
    assert after == before - 1


def test_each_address_has_limits_of_its_own(front: Front) -> None:
    told = [
        front.client(address).get(f"{front.url}{API}/models", timeout=30).headers["RateLimit"]
        for address in ("127.0.0.41", "127.0.0.42")
    ]
    assert all(limits.startswith('"global";r=999') for limits in told)


def test_a_request_id_goes_through_to_errors_and_back(front: Front) -> None:
    answer = front.client().get(
        f"{front.url}{API}/image/nope", headers={"X-Request-ID": "mine-2"}, timeout=30
    )
    assert answer.status_code == 404
    assert answer.headers["X-Request-ID"] == answer.json()["request_id"] == "mine-2"


def test_nginx_gives_an_id_to_who_has_none(front: Front, sluice: Sluice) -> None:
    given = front.client().get(f"{front.url}{API}/models", timeout=30).headers["X-Request-ID"]
    assert given in sluice.log()
    access_log = front.folder / "access.log"
    wait_until(lambda: given in access_log.read_text(), "nginx logs the request")
