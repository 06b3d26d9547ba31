"""Image ids as callers write them."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.storage.base import parse_image_id


def test_an_id_is_read_in_its_canonical_spelling() -> None:
    image_id = uuid4()

    assert parse_image_id(str(image_id)) == image_id


@pytest.mark.parametrize(
    "text",
    [
        "",
        "../../etc/passwd",
        "6F9619FF-8B86-4011-B42D-00CF4FC964FF",
        "6f9619ff8b864011b42d00cf4fc964ff",
        "{6f9619ff-8b86-4011-b42d-00cf4fc964ff}",
        "urn:uuid:6f9619ff-8b86-4011-b42d-00cf4fc964ff",
        "6f9619ff-8b86-4011-b42d-00cf4fc964ff\n",
        "6f9619ff-8b86-4011-b42d-00cf4fc964f",
        "٦f9619ff-8b86-4011-b42d-00cf4fc964ff",
    ],
)
def test_any_other_spelling_is_no_id(text: str) -> None:
    assert parse_image_id(text) is None


@given(st.text(max_size=50))
def test_any_text_is_an_id_or_none(text: str) -> None:
    found = parse_image_id(text)

    assert found is None or (isinstance(found, UUID) and str(found) == text)
