"""Pictures fetched from where callers say, for those who allow that (ALLOW_URL_IMAGES)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urljoin

import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError

from ai.errors import ImageTooLarge, InvalidImage
from backend.addresses import AddressRefused, AddressRules
from backend.errors import TooManyFetches
from backend.guarded_http import OverlongBody, guarded_request, whole_body
from backend.version import VERSION

MAX_REDIRECTS = 3
REDIRECTS = frozenset({301, 302, 303, 307, 308})
TOTAL_TIMEOUT_S = 15.0
"""For one picture, its redirects included."""
PARALLEL = 16
"""Each holds a thread, and up to MAX_IMAGE_BYTES."""
TURN_TIMEOUT_S = 5.0
UNTYPED = frozenset({"", "application/octet-stream", "binary/octet-stream"})
"""What file stores say of pictures nobody told them about."""
HEADERS = {"Accept": "image/*", "User-Agent": f"Sluice/{VERSION}"}


class PictureFetcher:
    """Fetches pictures of up to `max_bytes`, within `rules`, each in `total_timeout_s`."""

    def __init__(
        self, rules: AddressRules, max_bytes: int, *, total_timeout_s: float = TOTAL_TIMEOUT_S
    ) -> None:
        self._rules = rules
        self._max_bytes = max_bytes
        self._total_timeout_s = total_timeout_s
        self._turns = threading.BoundedSemaphore(PARALLEL)

    def fetch(self, url: str, field: str) -> bytes:
        """The bytes at `url`, which a caller sent as `field`; whether a picture is not looked at.

        Raises ImageTooLarge, TooManyFetches, and InvalidImage for whatever goes wrong there.
        """
        with self._turn(), _told_of(field):
            deadline = time.monotonic() + self._total_timeout_s
            for _ in range(MAX_REDIRECTS + 1):
                content, moved_to = self._asked(url, field, deadline - time.monotonic())
                if moved_to is None:
                    return content
                url = urljoin(url, moved_to)
        raise InvalidImage(field, f"is redirected more than {MAX_REDIRECTS} times")

    def _asked(self, url: str, field: str, time_left_s: float) -> tuple[bytes, str | None]:
        """What is there, or where it has moved to."""
        if time_left_s <= 0:
            raise requests.Timeout
        with guarded_request(
            "GET", url, self._rules, headers=HEADERS, total_timeout_s=time_left_s
        ) as response:
            if response.status_code in REDIRECTS and "Location" in response.headers:
                return b"", response.headers["Location"]
            _require_picture(response, field)
            return whole_body(response, self._max_bytes), None

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._turns.acquire(timeout=TURN_TIMEOUT_S):
            raise TooManyFetches("Too many pictures are being fetched; try again shortly.")
        try:
            yield
        finally:
            self._turns.release()


@contextmanager
def _told_of(field: str) -> Iterator[None]:
    """Say what went wrong in words of our own: a server's might tell of our networks."""
    try:
        yield
    except AddressRefused as error:
        raise InvalidImage(field, str(error)) from None
    except OverlongBody as error:
        raise ImageTooLarge(field, str(error)) from None
    except requests.exceptions.SSLError as error:
        raise InvalidImage(field, "its server's certificate or TLS is not accepted") from error
    except (requests.Timeout, ReadTimeoutError) as error:
        raise InvalidImage(field, "its server did not answer in time") from error
    except (requests.RequestException, HTTPError, OSError, ValueError) as error:
        raise InvalidImage(field, "could not be fetched from its server") from error


def _require_picture(response: requests.Response, field: str) -> None:
    if response.status_code != 200:
        raise InvalidImage(field, f"its server answered {response.status_code}")
    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if not media_type.startswith("image/") and media_type not in UNTYPED:
        raise InvalidImage(field, "is at an address where no picture is")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise InvalidImage(field, "is sent compressed, which was not asked for")
