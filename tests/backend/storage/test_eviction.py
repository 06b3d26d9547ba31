"""Which files a store lets go of."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from backend.storage.eviction import GRACE_S, LEFTOVER_AFTER_S, choose
from backend.storage.folders import Entry, Kind

NOW = 1_000_000.0
DAY_S = 86_400.0


def entry(
    kind: Kind,
    number: int,
    *,
    name: str = "",
    size: int = 10,
    created_s: float = 1_000,
    used_s: float = 1_000,
) -> Entry:
    """A file of image `number`, created and used so many seconds ago."""
    path = Path(kind, str(number), name)
    return Entry(path, kind, UUID(int=number), size, NOW - created_s, NOW - used_s)


def chosen(
    entries: list[Entry],
    *,
    max_bytes: int = 1_000,
    ttl_s: float = DAY_S,
    protected: set[UUID] | None = None,
) -> list[Entry]:
    return choose(entries, now=NOW, max_bytes=max_bytes, ttl_s=ttl_s, protected=protected or set())


def test_nothing_goes_while_there_is_room_and_time() -> None:
    assert chosen([entry("image", 1), entry("rendition", 1, name="16.png")]) == []


def test_an_image_goes_at_its_age_however_much_used_and_its_renditions_with_it() -> None:
    old = entry("image", 1, created_s=DAY_S, used_s=0)
    of_old = entry("rendition", 1, name="16.png", created_s=100)
    young = entry("image", 2, created_s=DAY_S - 1)

    assert chosen([old, of_old, young]) == [old, of_old]


def test_past_the_bound_the_least_recently_used_go_until_nine_tenths_are_left() -> None:
    images = [entry("image", n, size=100, used_s=1_000 - n) for n in range(1, 12)]

    assert chosen(images, max_bytes=1_000) == images[:2]


def test_at_the_bound_nothing_goes() -> None:
    images = [entry("image", n, size=100) for n in range(10)]

    assert chosen(images, max_bytes=1_000) == []


def test_renditions_count_and_go_with_their_image() -> None:
    unused = entry("image", 1, size=500, used_s=900)
    of_unused = entry("rendition", 1, name="16.png", size=200, used_s=1)
    used = entry("image", 2, size=500, used_s=1)

    assert chosen([unused, of_unused, used], max_bytes=1_000) == [unused, of_unused]


def test_renditions_alone_go_past_a_quarter_of_the_bound() -> None:
    image = entry("image", 1, size=100)
    renditions = [
        entry("rendition", 1, name=f"{n}.png", size=100, used_s=1_000 - n) for n in range(3)
    ]

    assert chosen([image, *renditions], max_bytes=1_000) == renditions[:1]


def test_a_rendition_without_an_image_goes() -> None:
    orphan = entry("rendition", 1, name="16.png")
    new_orphan = entry("rendition", 2, name="16.png", created_s=1)

    assert chosen([orphan, new_orphan]) == [orphan]


def test_new_and_protected_images_stay_whatever_is_asked() -> None:
    new = entry("image", 1, size=900, created_s=GRACE_S - 1, used_s=GRACE_S - 1)
    protected = entry("image", 2, size=900, created_s=9 * DAY_S, used_s=9 * DAY_S)
    other = entry("image", 3, size=10)

    doomed = chosen([new, protected, other], max_bytes=100, ttl_s=1, protected={UUID(int=2)})

    assert doomed == [other]


def test_leftovers_go_after_an_hour() -> None:
    old = entry("temporary", 1, created_s=LEFTOVER_AFTER_S)
    still_written = entry("temporary", 2, created_s=LEFTOVER_AFTER_S - 1)

    assert chosen([old, still_written]) == [old]


files = st.lists(
    st.builds(
        entry,
        st.sampled_from(["image", "rendition", "temporary"]),
        st.integers(0, 8),
        name=st.integers(0, 9).map(str),
        size=st.integers(0, 400),
        created_s=st.floats(-10, 2 * DAY_S),
        used_s=st.floats(-10, 2 * DAY_S),
    ),
    unique_by=lambda e: (e.kind, e.image_id) if e.kind == "image" else e.path,
    max_size=40,
)


@given(files, st.integers(1, 4_000), st.floats(1, DAY_S), st.sets(st.integers(0, 8)))
def test_whatever_there_is_the_bounds_hold_for_all_that_may_go(
    entries: list[Entry], max_bytes: int, ttl_s: float, numbers: set[int]
) -> None:
    protected = {UUID(int=number) for number in numbers}

    doomed = chosen(entries, max_bytes=max_bytes, ttl_s=ttl_s, protected=protected)

    left = [e for e in entries if e not in doomed]
    settled = [e for e in left if e.created_at <= NOW - GRACE_S]
    may_go = [e for e in settled if e.kind == "image" and e.image_id not in protected]
    images = {e.image_id for e in left if e.kind == "image"}
    assert len({e.path for e in doomed}) == len(doomed)
    assert not [e for e in doomed if e.kind == "image" and e.image_id in protected]
    assert not [e for e in may_go if e.created_at <= NOW - ttl_s]
    assert not [e for e in settled if e.kind == "rendition" and e.image_id not in images]
    assert sum(e.size_bytes for e in left) <= max_bytes or not may_go
