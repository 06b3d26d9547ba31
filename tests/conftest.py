"""What every test shares."""

from __future__ import annotations

import os

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


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Twice as many as there are cores: tests through the front door wait half of their time."""
    return 2 * (os.cpu_count() or 1)
