"""One try to deliver a webhook."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import requests
from urllib3.exceptions import HTTPError

from backend.addresses import AddressRefused, AddressRules
from backend.guarded_http import guarded_request
from backend.jobs.deliveries import Delivery
from backend.jobs.signing import signed_headers
from backend.version import VERSION

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 15.0
TOTAL_TIMEOUT_S = 30.0
"""The standard asks for 15 to 30 s in which a receiver may answer."""
MAX_READ_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a try: a status, or words of our own for why there is none."""

    status: int | None = None
    error: str | None = None
    retry_after_s: float = 0.0

    @property
    def is_taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_unwanted(self) -> bool:
        return self.status == HTTPStatus.GONE

    @property
    def words(self) -> str:
        return self.error or f"the receiver answered {self.status}"


def deliver(delivery: Delivery, key: bytes, rules: AddressRules, now: datetime) -> Answer:
    """Send it once, signed at `now`. Never raises."""
    body = (delivery.body or "").encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"Sluice/{VERSION}",
        **signed_headers(key, str(delivery.id), now, body),
    }
    try:
        with guarded_request(
            "POST",
            delivery.url,
            rules,
            headers=headers,
            data=body,
            connect_timeout_s=CONNECT_TIMEOUT_S,
            read_timeout_s=READ_TIMEOUT_S,
            total_timeout_s=TOTAL_TIMEOUT_S,
        ) as response:
            _let_it_finish(response)
            retry_after_s = _retry_after_s(response.headers.get("Retry-After", ""), now)
            return Answer(response.status_code, retry_after_s=retry_after_s)
    except AddressRefused as error:
        return Answer(error=f"webhook_url {error}")
    except requests.exceptions.SSLError:
        return Answer(error="the receiver's certificate or TLS is not accepted")
    except requests.Timeout:
        return Answer(error="the receiver did not answer in time")
    except requests.ConnectionError:
        return Answer(error="the receiver could not be reached")
    except Exception as error:
        # Whatever a receiver can provoke must not take the thread, nor be told in its words.
        log.warning("webhook not sent", extra={"error": type(error).__name__})
        return Answer(error="the webhook could not be sent")


def _let_it_finish(response: requests.Response) -> None:
    """Take the answer's body off the wire, as far as that is small, before hanging up."""
    with suppress(HTTPError, OSError):
        response.raw.read(MAX_READ_BYTES, decode_content=False)


def _retry_after_s(text: str, now: datetime) -> float:
    """Seconds, of a number or a date; 0 where there is neither."""
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    aware = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (aware - now).total_seconds())
