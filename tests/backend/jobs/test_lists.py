"""What workers tell of their engines' lists: within bounds, and sent but when it is new."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from redis import Redis

from ai.engines.a1111.engine import A1111Engine
from ai.pool import EnginePool
from backend.jobs.bulletin import Bulletin
from backend.jobs.lists import MOST_BYTES, ListsElsewhere, OwnLists, packed, unpacked
from tests.backend.jobs.house import POLICY
from tests.fake_webui import FakeWebUI
from tests.running import running_redis


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_redis(Path(tmp_path_factory.mktemp("redis"))) as (url, _):
        yield url


@pytest.fixture
def bulletin(redis_url: str) -> Iterator[Bulletin]:
    bulletin = Bulletin(redis_url)
    yield bulletin
    bulletin.close()


def test_a_list_that_fails_stays_as_it_was() -> None:
    with FakeWebUI() as webui:
        pool = EnginePool([A1111Engine(webui.url, name="x", tier="gpu", device="cuda")], POLICY)
        pool.start()
        try:
            own = OwnLists(pool)
            first = own.look()
            webui.routes.missing |= {"sd-vae", "memory"}
            again = own.look()
        finally:
            pool.close()
    assert (again.digest, again.packed) == (first.digest, first.packed)
    told = unpacked(again.packed)
    assert told is not None
    assert [row["model_name"] for (rows,) in [told["sd-vae"]] for row in rows] == ["soft.vae.pt"]
    assert len(first.memory) == 1
    assert again.memory == ()


def test_lists_are_bounded_and_the_same_of_several_engines_told_once() -> None:
    rows = [{"name": f"{number:06}" * 50} for number in range(4000)]
    told = unpacked(packed({"loras": [rows, rows], "embeddings": [{"loaded": "x" * MOST_BYTES}]}))
    assert told is not None
    (kept,) = told["loras"]
    assert kept == rows[: len(kept)]
    assert MOST_BYTES - 1000 < len(orjson.dumps(kept)) <= MOST_BYTES
    assert told["embeddings"] == []


@pytest.mark.parametrize("told", [b"", b"no", packed({})[:-3], packed({"loras": [[]]})[:9]])
def test_what_no_worker_packed_is_nothing(told: bytes) -> None:
    assert unpacked(told) in (None, {})


def test_lists_are_sent_and_read_once_while_they_are_the_same(
    bulletin: Bulletin, redis_url: str
) -> None:
    elsewhere = ListsElsewhere(bulletin)
    elsewhere.follow(["a"])
    assert elsewhere.of("loras") == [], "not told yet"
    bulletin.tell_lists("a", packed({"loras": [[{"name": "one"}]]}), 60)
    bulletin.tell_lists("b", packed({"loras": [[{"name": "two"}]]}), 60)
    elsewhere.follow(["a", "b", "a", None])
    assert elsewhere.of("loras") == [[{"name": "one"}], [{"name": "two"}]]
    with Redis.from_url(redis_url) as redis:
        redis.config_resetstat()
        bulletin.tell_lists("a", b"not sent", 60)
        elsewhere.follow(["a"])
        assert elsewhere.of("loras") == [[{"name": "one"}]]
        calls = {name.removeprefix("cmdstat_") for name in redis.info("commandstats")}
        assert not calls & {"set", "get"}
        redis.flushall()
    bulletin.tell_lists("a", packed({}), 60)
    assert bulletin.lists("a") == packed({}), "told again when Redis has lost it"
