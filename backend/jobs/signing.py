"""Signatures of Standard Webhooks 1.0.0, the symmetric kind (v1, HMAC-SHA256)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime

PREFIX = "whsec_"
KEY_BYTES = range(24, 65)
"""What the standard allows: 192 to 512 bits."""


def signing_key(secret: str) -> bytes:
    """The key in `secret`, written as `whsec_` and base64. Raises ValueError."""
    complaint = "must be whsec_ followed by 24 to 64 bytes in base64"
    if not secret.startswith(PREFIX):
        raise ValueError(complaint)
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except ValueError:
        raise ValueError(complaint) from None
    if len(key) not in KEY_BYTES:
        raise ValueError(complaint)
    return key


def signed_headers(key: bytes, webhook_id: str, now: datetime, body: bytes) -> dict[str, str]:
    """What a receiver needs to know `body` for ours, fresh, and not seen before."""
    timestamp = str(int(now.timestamp()))
    content = f"{webhook_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{signature}",
    }
