"""Webhooks are signed as Standard Webhooks 1.0.0 has it."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest

from backend.jobs.signing import signed_headers, signing_key
from tests.backend.jobs.webhook_support import SECRET


def test_a_signature_is_the_one_the_reference_libraries_make() -> None:
    headers = signed_headers(
        signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        datetime.fromtimestamp(1614265330.9, UTC),
        b'{"test": 2432232314}',
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize("size", [24, 32, 64])
def test_a_key_has_24_to_64_bytes(size: int) -> None:
    key = bytes(range(size))
    assert signing_key("whsec_" + base64.b64encode(key).decode()) == key


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        SECRET.removeprefix("whsec_"),
        "whsk_" + SECRET.removeprefix("whsec_"),
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        SECRET + "!",
        SECRET + "\n",
        "whsec_ümlaut",
    ],
)
def test_another_secret_is_refused_without_being_told(secret: str) -> None:
    with pytest.raises(ValueError, match="must be whsec_ followed by") as refused:
        signing_key(secret)
    assert len(secret) < 8 or secret not in str(refused.value)
