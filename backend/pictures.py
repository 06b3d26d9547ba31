"""Pictures as callers send them: a file, base64, a data URI, or an address to fetch them from."""

from __future__ import annotations

from dataclasses import dataclass

from ai.images import ImageLimits, decode_base64


@dataclass(frozen=True, slots=True)
class CallerPictures:
    """Reads what callers send as a picture; `limits` bound it."""

    limits: ImageLimits

    def read(self, picture: str | bytes, field: str) -> bytes:
        """The file that a caller sent as `field`, its pixels not looked at yet.

        Raises ImageTooLarge and InvalidImage.
        """
        if isinstance(picture, bytes):
            return picture
        return decode_base64(picture, field=field, max_bytes=self.limits.max_bytes)
