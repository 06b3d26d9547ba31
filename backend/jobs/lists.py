"""The WebUI lists of workers' engines: told through Redis when they change, read when they did.

Redis keeps them apart from the reports, under a digest that these name: a report is read each
second by every web process, and lists can be long.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import orjson

from ai.engines.base import ListName
from ai.pool import EnginePool
from backend.jobs.bulletin import Bulletin

LISTS_KEPT_S = 60
"""In Redis, after a worker last said that they hold."""
MEMORY: ListName = "memory"
"""Never the same twice, and short: it goes with the report."""
MOST_BYTES = 512 * 1024
"""Of one list of all engines of a worker, as JSON; what is beyond that is left out."""
MOST_MEMORY_BYTES = 4096
_NAMES: tuple[ListName, ...] = tuple(name for name in get_args(ListName) if name != MEMORY)

Lists = Mapping[str, list[Any]]


@dataclass(frozen=True, slots=True)
class ToldLists:
    """What a worker's engines answered, `packed` for others; `digest` is None of nothing yet."""

    digest: str | None = None
    packed: bytes = b""
    memory: tuple[Any, ...] = ()


class OwnLists:
    """The lists of a worker's engines. One that none of them answers now stays as it was."""

    def __init__(self, pool: EnginePool) -> None:
        self._pool = pool
        self._told: dict[str, list[Any]] = {}

    def look(self) -> ToldLists:
        """Ask the engines that are up, one by one."""
        for name in _NAMES:
            self._told[name] = self._pool.listings(name) or self._told.get(name, [])
        memory = tuple(_within(self._pool.listings(MEMORY), MOST_MEMORY_BYTES))
        told = packed(self._told)
        return ToldLists(hashlib.sha256(told).hexdigest()[:32], told, memory)


class ListsElsewhere:
    """The lists that the workers which are there tell of; each is read from Redis but once."""

    def __init__(self, bulletin: Bulletin) -> None:
        self._bulletin = bulletin
        self._read: dict[str, Lists] = {}

    def follow(self, digests: Iterable[str | None]) -> None:
        """These are told of now. One that cannot be read is tried again the next time."""
        known, read = self._read, dict[str, Lists]()
        for digest in digests:
            lists = known.get(digest) if digest else None
            if digest and lists is None:
                told = self._bulletin.lists(digest)
                lists = unpacked(told) if told else None
            if digest and lists is not None:
                read[digest] = lists
        self._read = read

    def of(self, name: ListName) -> list[Any]:
        """What each engine answers for that list."""
        return [listing for lists in self._read.values() for listing in lists.get(name, ())]


def packed(told: Lists) -> bytes:
    """`told` within bounds, each listing of several engines once."""
    bounded = {name: list(_within(_different(all_), MOST_BYTES)) for name, all_ in told.items()}
    return zlib.compress(orjson.dumps(bounded, option=orjson.OPT_SORT_KEYS), 1)


def unpacked(told: bytes) -> Lists | None:
    """What `packed` made; None where that cannot be, or is larger than it makes any."""
    reader = zlib.decompressobj()
    try:
        lists = orjson.loads(reader.decompress(told, MOST_BYTES * (len(_NAMES) + 1)))
    except (zlib.error, ValueError):
        return None
    is_as_made = isinstance(lists, dict) and all(isinstance(x, list) for x in lists.values())
    return lists if is_as_made else None


def _different(listings: list[Any]) -> list[Any]:
    return list({orjson.dumps(listing): listing for listing in listings}.values())


def _within(listings: list[Any], most_bytes: int) -> Iterator[Any]:
    """`listings` as far as they go; of a list of rows the first ones, of others all or nothing."""
    left = most_bytes
    for listing in listings:
        rows: list[Any] = []
        for row in listing if isinstance(listing, list) else (listing,):
            left -= len(orjson.dumps(row)) + 1
            if left < 0:
                break
            rows.append(row)
        if isinstance(listing, list):
            yield rows
        else:
            yield from rows
