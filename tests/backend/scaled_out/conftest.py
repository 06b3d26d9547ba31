"""One town for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.backend.scaled_out.town import Town, running_town
from tests.postgres import Postgres, running_postgres


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[Town]:
    with running_town(tmp_path_factory.mktemp("town"), postgres) as town:
        yield town
