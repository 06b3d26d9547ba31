"""Keys as a process knows them: read seldom, believed for a short time, never wrongly refused."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from backend.accounts.keys import ApiKey, digest_of
from backend.accounts.known_keys import FRESH_S, KnownKeys
from backend.accounts.register import KeyRegister
from backend.jobs.database import open_database

NO_GRACE = timedelta()


class Desk:
    """A register in a database, what a process knows of it, and how often that has read."""

    def __init__(self, register: KeyRegister) -> None:
        self.register = register
        self.reads = 0
        self.now = 1000.0
        self.known = KnownKeys(self._read, self._list, None)

    def _read(self, key_id: str) -> ApiKey | None:
        self.reads += 1
        return self.register.get(key_id)

    def _list(self) -> frozenset[str]:
        self.reads += 1
        return self.register.ids()

    def new(self) -> tuple[ApiKey, str]:
        return self.register.add(
            ApiKey(
                id="",
                name="somebody",
                digest="",
                scopes=frozenset({"read"}),
                checkpoints=("tinyA",),
                created_at=datetime.now(UTC),
            )
        )


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    database = open_database(None, tmp_path)
    desk = Desk(KeyRegister(database))
    clock = SimpleNamespace(monotonic=lambda: desk.now)
    monkeypatch.setattr("backend.accounts.known_keys.time", clock)
    yield desk
    database.dispose()


def test_a_key_is_known_as_it_was_made_and_read_once(desk: Desk) -> None:
    key, text = desk.new()
    assert [desk.known.owner_of(text) for _ in range(3)] == [key] * 3
    assert desk.known.by_caller(key.caller) == key
    assert desk.reads == 1


def test_a_revoked_key_is_let_in_no_longer_than_it_is_fresh(desk: Desk) -> None:
    key, text = desk.new()
    desk.known.owner_of(text)
    assert desk.register.revoke(key.id)
    desk.now += FRESH_S
    assert desk.known.owner_of(text) is not None
    desk.now += 0.1
    assert desk.known.owner_of(text) is None


def test_a_rotated_text_opens_at_once_though_the_key_was_just_read(desk: Desk) -> None:
    key, old = desk.new()
    desk.known.owner_of(old)
    new = desk.register.rotate(key.id, NO_GRACE)
    assert new is not None
    assert desk.known.owner_of(new) is not None
    assert desk.known.owner_of(old) is None


def test_a_text_is_good_for_its_grace_and_only_the_one_before(desk: Desk) -> None:
    key, first = desk.new()
    second = desk.register.rotate(key.id, timedelta(hours=1))
    assert desk.known.owner_of(first) is not None
    third = desk.register.rotate(key.id, timedelta(hours=1))
    desk.now += 2 * FRESH_S
    assert [desk.known.owner_of(text or "") is not None for text in (first, second, third)] == [
        False,
        True,
        True,
    ]


def test_digests_are_compared_in_constant_time_the_old_one_too(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, old = desk.new()
    new = desk.register.rotate(key.id, timedelta(hours=1))
    assert new is not None
    asked: list[tuple[str, str]] = []

    def compare(mine: str, sent: str) -> bool:
        asked.append((mine, sent))
        return hmac.compare_digest(mine, sent)

    monkeypatch.setattr("backend.accounts.keys.hmac", SimpleNamespace(compare_digest=compare))
    for text in (new, old):
        asked.clear()
        assert desk.known.owner_of(text) is not None
        assert asked == [(digest_of(mine), digest_of(text)) for mine in (new, old)]


def test_wrong_texts_of_a_known_key_cost_a_read_each_and_those_of_no_form_none(desk: Desk) -> None:
    _, text = desk.new()
    desk.known.owner_of(text)
    assert desk.known.owner_of(text[:-1] + ("A" if text[-1] != "A" else "B")) is None
    assert desk.reads == 2
    assert desk.known.owner_of("slk_") is None
    assert desk.known.owner_of("x" * 10_000) is None
    assert desk.reads == 2


def test_not_read_anew_any_number_of_texts_costs_two_reads_a_while(desk: Desk) -> None:
    key, text = desk.new()
    wrong = text[:-1] + ("A" if text[-1] != "A" else "B")
    unknown = "slk_aaaaaaaa_" + "A" * 43
    for tried in [wrong, unknown] * 50:
        assert desk.known.owner_of(tried, anew=False) is None
    assert desk.known.owner_of(text, anew=False) == key
    assert desk.reads == 2
    later, new = desk.new()
    assert desk.known.owner_of(new, anew=False) is None
    desk.now += FRESH_S + 0.1
    assert desk.known.owner_of(new, anew=False) == later
