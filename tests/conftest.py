"""What every test shares."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, settings

from tests import running
from tests.forked import Forked

settings.register_profile(
    "sluice",
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    derandomize=os.environ.get("CI") == "true",
    database=None,
)
settings.load_profile("sluice")
running.start_gateway = Forked


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of few tests first: those take longest, and nobody is to wait for one at the end."""
    tests = Counter(item.path for item in items)
    items.sort(key=lambda item: tests[item.path])


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are cores: tests through the front door wait a third of their time."""
    return (os.cpu_count() or 1) + 1
