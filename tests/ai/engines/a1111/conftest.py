"""A WebUI, its engine, and a generation on the way: what most tests here begin with."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from ai.engines.a1111.engine import A1111Engine
from ai.generation import Generation
from tests.ai.engines.a1111.support import TIMEOUT_S, Start, engine_at, txt2img
from tests.fake_webui import FakeWebUI


@pytest.fixture
def webui() -> Iterator[FakeWebUI]:
    with FakeWebUI() as running:
        yield running


@pytest.fixture
def engine(webui: FakeWebUI) -> Iterator[A1111Engine]:
    with engine_at(webui.url) as connected:
        yield connected


@pytest.fixture
def start(engine: A1111Engine) -> Iterator[Start]:
    """Starts a generation of 60 steps in a thread of its own."""
    with ThreadPoolExecutor() as pool:

        def submit(on: A1111Engine = engine, **changes: Any) -> Future[Generation]:
            request = txt2img(**{"steps": 60} | changes)
            return pool.submit(on.generate, request, timeout_s=TIMEOUT_S)

        yield submit
