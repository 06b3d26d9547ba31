"""Which results others may have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from ai.engines.base import Checkpoint
from ai.generation import GeneratedImage, Generation, GenerationRequest, Txt2Img
from ai.pool import EnginePool, Outcome
from backend.jobs import fingerprints
from backend.jobs.ledger import JobLedger
from backend.jobs.live import GenerationResult, MadeImage
from backend.jobs.results import ResultCache
from backend.storage.local import LocalImageStore
from tests.backend.jobs.job_support import queued, succeeded
from tests.pictures import png

REQUEST = Txt2Img(prompt="a red circle", seed=7)
WEIGHTS = Checkpoint("tinyA", "tinyA.safetensors [fc01b6beb8]", "fc01b6beb8")
FINGERPRINT = fingerprints.made(REQUEST, "tinyA", "fc01b6beb8")


class Certain(EnginePool):
    """A pool that would use these weights for anything."""

    def __init__(self, weights: Checkpoint | None) -> None:
        super().__init__([])
        self._weights = weights

    def checkpoint_for(self, request: GenerationRequest) -> Checkpoint | None:
        return self._weights


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalImageStore]:
    store = LocalImageStore(tmp_path / "store", max_bytes=10_000_000, ttl_s=3600)
    yield store
    store.close()


@pytest.fixture
def ledger(either_database: Engine) -> JobLedger:
    return JobLedger(either_database)


def cache(
    ledger: JobLedger, store: LocalImageStore, weights: Checkpoint | None = WEIGHTS
) -> tuple[ResultCache, list[str]]:
    counted: list[str] = []
    return ResultCache(Certain(weights), ledger, store, counted.append), counted


def result(**generation: Any) -> GenerationResult:
    image = GeneratedImage(png(), "image/png", 64, 64, 7)
    made = Generation((image,), "tinyA", "fc01b6beb8", {})
    outcome = Outcome(replace(made, **generation), "webui", "cuda", 1, False, 0.0, 1.0)
    return GenerationResult((MadeImage(image, uuid4()),), outcome)


def test_a_whole_result_of_known_weights_is_for_others(
    ledger: JobLedger, store: LocalImageStore
) -> None:
    results, _ = cache(ledger, store)
    assert results.fingerprint_of(REQUEST, result()) == FINGERPRINT


@pytest.mark.parametrize(
    "less", [{"degraded": ("model",)}, {"checkpoint_hash": None}, {"checkpoint": None}]
)
def test_less_than_was_asked_or_unknown_weights_are_not(
    ledger: JobLedger, store: LocalImageStore, less: dict[str, Any]
) -> None:
    results, _ = cache(ledger, store)
    assert results.fingerprint_of(REQUEST, result(**less)) is None


def test_a_result_without_its_image_in_the_store_is_not(
    ledger: JobLedger, store: LocalImageStore
) -> None:
    results, _ = cache(ledger, store)
    (made,) = result().images
    unkept = replace(result(), images=(replace(made, image_id=None),))
    assert results.fingerprint_of(REQUEST, unkept) is None


def test_the_latest_result_of_the_caller_is_found(
    ledger: JobLedger, store: LocalImageStore
) -> None:
    results, counted = cache(ledger, store)
    assert results.find(REQUEST, "somebody") is None
    ids = [store.put(png(), "image/png").id for _ in range(2)]
    for image_id in ids:
        job = queued()
        ledger.add(job)
        ledger.ended(job.id, succeeded(image_id, fingerprint=FINGERPRINT))
    found = results.find(REQUEST, "somebody")
    assert found is not None
    assert found.cached
    assert found.images[0].image_id == ids[1]
    assert found.images[0].image.data == png()
    assert results.find(REQUEST, "somebody else") is None
    assert counted == ["miss", "hit", "miss"]


@pytest.mark.parametrize("weights", [None, replace(WEIGHTS, hash=None)])
def test_nothing_is_found_while_it_is_not_certain_what_would_be_used(
    ledger: JobLedger, store: LocalImageStore, weights: Checkpoint | None
) -> None:
    job = queued()
    ledger.add(job)
    image_id = store.put(png(), "image/png").id
    ledger.ended(job.id, succeeded(image_id, fingerprint=FINGERPRINT))
    results, counted = cache(ledger, store, weights)
    assert results.find(REQUEST, "somebody") is None
    assert counted == ["miss"]


def test_a_request_left_to_chance_shares_with_none(
    ledger: JobLedger, store: LocalImageStore
) -> None:
    results, _ = cache(ledger, store)
    assert results.key_of(Txt2Img(prompt="a red circle"), "me") is None
    assert results.key_of(REQUEST, "me") == results.key_of(REQUEST, "me")
    assert results.key_of(REQUEST, "me") != results.key_of(REQUEST, "you")
