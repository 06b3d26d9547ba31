"""A request costs no more than it did: counts that are the same on every machine."""

from __future__ import annotations

import pytest

from bench.counts import count
from bench.smoke import baseline, grown
from bench.tracing import Trace, TracingForbidden
from tests.running import installed

PROGRAMS = ("nginx", "redis-server", "strace")


def test_no_count_of_a_request_has_grown() -> None:
    for program in PROGRAMS:
        installed(program)
    try:
        found = count()
    except TracingForbidden as forbidden:
        pytest.skip(f"nobody may trace here: {forbidden}")
    before = baseline()
    assert found.keys() == before.keys()
    assert grown(found, before) == []


def test_one_more_of_anything_is_growth() -> None:
    before = {"redis_round_trips": 4.0, "picture_copies": 5.0, "upstream_connections": 0.0}
    for name in before:
        assert grown({**before, name: before[name] + 1}, before)
    assert grown(before, before) == []


def test_what_was_never_counted_before_is_growth() -> None:
    assert grown({"bells": 1.0}, {}) == ["bells: 1.00 a request, 0.00 before"]


def test_a_little_more_is_not_growth() -> None:
    assert grown({"system_calls": 104.0, "upstream_connections": 0.2}, {"system_calls": 98.0}) == []


def test_big_allocations_are_told_from_small_ones_and_from_mapped_files() -> None:
    trace = Trace(
        [
            ("mmap", "NULL, 704512, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f"),
            ("mmap", "NULL, 4096, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f"),
            ("mmap", "NULL, 900000, PROT_READ, MAP_SHARED, 7, 0) = 0x7f"),
            ("mremap", "0x7f, 266240, 1052672, MREMAP_MAYMOVE) = 0x7f"),
            ("futex", "0x7f, FUTEX_WAKE_PRIVATE, 1) = 1"),
            ("write", '3, "mmap(NULL, 999999", 17) = 17'),
        ]
    )
    assert trace.allocations(500_000) == [704512, 1052672]
    assert trace.steady() == 5
