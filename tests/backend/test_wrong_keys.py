"""Wrong keys: counted over all processes, at no cost to the database once they are too many."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask
from limits import parse
from sqlalchemy import Engine, event

from backend.accounts.errors import KeyInvalid, TooManyWrongKeys
from backend.accounts.keys import ApiKey, new_id, new_text
from backend.accounts.known_keys import KnownKeys
from backend.accounts.register import KeyRegister
from backend.identity import Gate
from backend.jobs.database import open_database
from backend.settings import Settings
from backend.windows import MemoryWindows
from backend.wrong_keys import MOST, WrongKeys
from tests.backend.accounts.conftest import SETTINGS, new_key
from tests.fake_webui import FakeWebUI
from tests.running import API, Sluice, running_redis, running_sluice, wait_until

GUESSER = {"X-Forwarded-For": "198.51.100.7"}


def guess() -> str:
    return new_text(new_id())


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    database = open_database(None, tmp_path)
    yield database
    database.dispose()


class Door:
    """A route behind the gate, and how often that had the database read."""

    def __init__(self, database: Engine) -> None:
        self.reads = 0
        self.register = KeyRegister(database)
        event.listen(database, "before_cursor_execute", self._count)
        settings = Settings(_env_file=None, auth="keys", ratelimit_wrong_keys="5/minute")
        app = Flask(__name__)
        known = KnownKeys(self.register.get, self.register.ids, None)
        Gate(settings, known, MemoryWindows()).init_app(app)
        app.register_error_handler(KeyInvalid, lambda _: ("", 401))
        app.register_error_handler(TooManyWrongKeys, lambda _: ("", 429))
        app.add_url_rule("/", view_func=lambda: "")
        self.client = app.test_client()

    def _count(self, *_: object) -> None:
        self.reads += 1

    def status(self, text: str) -> int:
        return self.client.get("/", headers={"X-API-Key": text}).status_code

    def new_key(self) -> str:
        draft = ApiKey(
            id="",
            name="somebody",
            digest="",
            scopes=frozenset({"read"}),
            created_at=datetime.now(UTC),
        )
        return self.register.add(draft)[1]


def test_guesses_from_a_refused_address_do_not_have_the_database_read(database: Engine) -> None:
    door = Door(database)
    right = door.new_key()
    assert [door.status(guess()) for _ in range(6)] == [401] * 5 + [429]
    door.reads = 0
    wrong = right[:-1] + ("A" if right[-1] != "A" else "B")
    assert {door.status(text) for text in [*(guess() for _ in range(100)), *[wrong] * 100]} == {429}
    assert door.status(right) == 200
    # Two a while: which keys there are, and the one that was guessed at.
    assert 1 <= door.reads <= 6


@pytest.fixture
def gateways(webui: FakeWebUI, tmp_path: Path) -> Iterator[list[Sluice]]:
    """Two processes with one Redis, whose other limits are off."""
    with ExitStack() as stack:
        url, _ = stack.enter_context(running_redis(tmp_path))
        env = {"SD_WEBUI_URL": webui.url, **SETTINGS, "REDIS_URL": url}
        env |= {"RATELIMIT_ENABLED": "false"}
        folders = [tmp_path / name for name in ("one", "two")]
        for folder in folders:
            folder.mkdir()
        yield [stack.enter_context(running_sluice(folder, env)) for folder in folders]


@pytest.fixture(scope="module")
def webui() -> Iterator[FakeWebUI]:
    with FakeWebUI() as webui:
        yield webui


def status(sluice: Sluice, text: str) -> int:
    headers = GUESSER | {"X-API-Key": text}
    return sluice.get(f"{API}/models", headers=headers).status_code


def test_two_processes_count_as_one_also_where_other_limits_are_off(
    gateways: list[Sluice],
) -> None:
    with ThreadPoolExecutor(8) as clients:
        statuses = list(clients.map(lambda n: status(gateways[n % 2], guess()), range(40)))
    assert statuses.count(401) == 5
    assert statuses.count(429) == 35


def test_a_key_made_after_its_address_was_refused_is_let_in_soon(gateways: list[Sluice]) -> None:
    sluice = gateways[0]
    statuses = [status(sluice, guess()) for _ in range(7)]
    assert statuses[-2:] == [429, 429]
    new = new_key(sluice)
    wait_until(lambda: status(sluice, new) == 200, "the new key is known", timeout_s=10.0)


def test_only_so_many_refused_addresses_are_remembered_and_none_for_longer_than_needed() -> None:
    now = 1000.0
    windows = MemoryWindows(lambda: now)
    wrong = WrongKeys(parse("1/minute"), windows, lambda: now)
    for number in range(MOST + 5):
        wrong.count(f"address-{number}")
        with pytest.raises(TooManyWrongKeys):
            wrong.count(f"address-{number}")
    assert len(wrong._refused) == MOST
    last = f"address-{MOST + 4}"
    assert wrong.is_refused(last)
    now += 60
    assert not wrong.is_refused(last)
    wrong.count(last)
