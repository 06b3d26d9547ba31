"""Pictures as callers send them: a file, base64, a data URI, or an address to fetch them from."""

from __future__ import annotations

from dataclasses import dataclass

from ai.images import ImageLimits, decode_base64
from backend.url_images import PictureFetcher


@dataclass(frozen=True, slots=True)
class CallerPictures:
    """Reads what callers send as a picture; `limits` bound it. No `fetcher`: no URLs."""

    limits: ImageLimits
    fetcher: PictureFetcher | None = None

    def read(self, picture: str | bytes, field: str) -> bytes:
        """The file that a caller sent as `field`, its pixels not looked at yet.

        Raises ImageTooLarge, InvalidImage, and TooManyFetches for a URL.
        """
        if isinstance(picture, bytes):
            return picture
        if self.fetcher is not None and _is_url(picture):
            return self.fetcher.fetch(picture.strip(), field)
        return decode_base64(picture, field=field, max_bytes=self.limits.max_bytes)


def _is_url(text: str) -> bool:
    return text[:256].lstrip().lower().startswith(("http:", "https:"))
