"""Answers with pictures in them read as any other JSON."""

from __future__ import annotations

import json
from typing import Any

import pybase64
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.json_answers import Base64, json_pieces

PICTURES = st.builds(
    Base64,
    st.binary(max_size=30).map(pybase64.b64encode),
    st.sampled_from(["", "data:image/png;base64,"]),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text() | PICTURES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def plain(value: Any) -> Any:
    """The same with pictures as text."""
    if isinstance(value, Base64):
        return value.prefix + value.data.decode()
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_pieces_together_are_the_answer(answer: dict[str, object]) -> None:
    assert json.loads(b"".join(json_pieces(answer))) == plain(answer)


def test_a_picture_is_not_copied() -> None:
    data = pybase64.b64encode(bytes(1000))
    assert any(piece is data for piece in json_pieces({"image": Base64(data), "seed": 1}))


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(TypeError):
        json_pieces({"value": object()})
