"""A job that was given a webhook_url tells it how it ended, and says how that stands."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator

import pytest

from tests.backend.api.conftest import NO_LIMITS
from tests.backend.receivers import receiving
from tests.fake_webui import FakeWebUI
from tests.running import API, Sluice, running_sluice, wait_until

KEY = b"k" * 32
SECRET = "whsec_" + base64.b64encode(KEY).decode()
SMALL = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 1}
ASYNC = {"Prefer": "respond-async"}


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sluice]:
    """A gateway that may tell receivers on this machine."""
    with FakeWebUI() as webui:
        env = {
            "SD_WEBUI_URL": webui.url,
            "CPU_FALLBACK": "false",
            "WEBHOOK_SECRET": SECRET,
            "ALLOW_HTTP_WEBHOOKS": "true",
            "ALLOW_PRIVATE_WEBHOOKS": "true",
            "PUBLIC_URL": "https://sluice.example",
            **NO_LIMITS,
        }
        with running_sluice(tmp_path_factory.mktemp("telling"), env) as sluice:
            yield sluice


def test_the_end_of_a_job_is_told_signed_with_urls(telling: Sluice) -> None:
    with receiving() as receiver:
        body = SMALL | {"webhook_url": receiver.url}
        job = telling.post("txt2img", json=body, headers=ASYNC).json()
        wait_until(lambda: len(receiver.received) == 1, "the webhook came")
        call = receiver.received[0]
    headers = {name.lower(): value for name, value in call.headers.items()}
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode()
    digest = hmac.new(KEY, signed + call.body, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
    told = json.loads(call.body)
    assert told["type"] == "job.succeeded"
    assert told["data"]["job_id"] == job["job_id"]
    (image,) = told["data"]["images"]
    assert image["image_url"].startswith(f"https://sluice.example{API}/image/")
    url = telling.url + job["urls"]["self"]
    wait_until(
        lambda: telling.http.get(url).json()["webhook"]["state"] == "delivered", "it is kept"
    )


def test_a_receiver_that_refuses_is_tried_again_and_the_job_says_so(telling: Sluice) -> None:
    with receiving(500) as receiver:
        body = SMALL | {"webhook_url": receiver.url}
        job = telling.post("txt2img", json=body, headers=ASYNC).json()
        url = telling.url + job["urls"]["self"]
        wait_until(
            lambda: telling.http.get(url).json()["webhook"]["last_status"] == 500, "it was tried"
        )
        webhook = telling.http.get(url).json()["webhook"]
    assert (webhook["state"], webhook["tries"]) == ("pending", 1)
    assert webhook["next_try_at"] is not None


@pytest.mark.parametrize("url", ["ftp://a.example/", "nonsense", "http://169.254.169.254/", ""])
def test_an_address_that_may_not_be_told_is_refused(telling: Sluice, url: str) -> None:
    answer = telling.post("txt2img", json=SMALL | {"webhook_url": url})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "webhook_url"


def test_without_a_secret_a_webhook_is_refused(sluice: Sluice) -> None:
    answer = sluice.post("txt2img", json=SMALL | {"webhook_url": "https://a.example/"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "webhook_url"
