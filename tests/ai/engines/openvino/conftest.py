"""The embedded engine with the demo checkpoint, loaded once for all its tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ai.demo_model import CHECKPOINT_DIR, CHECKPOINT_NAME
from ai.engines.openvino.engine import OpenVinoEngine, Precision

NewEngine = Callable[..., OpenVinoEngine]


@pytest.fixture(scope="session")
def compiled_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the engines of the tests keep compiled weights, to load them faster."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="session")
def new_engine(compiled_dir: Path) -> Iterator[NewEngine]:
    """Makes engines like `embedded`, to break or to close."""
    engines = []

    def make(
        folder: Path = CHECKPOINT_DIR, lora_dir: Path | None = None, precision: Precision = "f32"
    ) -> OpenVinoEngine:
        engine = OpenVinoEngine(
            folder,
            checkpoint_name=CHECKPOINT_NAME,
            precision=precision,
            threads=1,
            cache_dir=compiled_dir,
            lora_dir=lora_dir,
        )
        engines.append(engine)
        return engine

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture(scope="session")
def embedded(new_engine: NewEngine) -> OpenVinoEngine:
    """One engine for all tests that leave it as it was."""
    return new_engine()
