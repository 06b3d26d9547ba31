"""What is measured is started as it is by its users."""

from __future__ import annotations

import pytest

from tests import running


@pytest.fixture(autouse=True)
def _really_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "start_gateway", running.started)
