"""What the engines of a pool have: who matches a request, and how it is told to people."""

from __future__ import annotations

import pytest

from ai.catalogue import Catalogue
from ai.engines.base import Checkpoint, EngineFacts, Sampler
from ai.errors import UnknownSampler, UnknownScheduler
from ai.generation import Txt2Img
from tests.ai.toy_engine import ToyEngine

SAMPLERS = (Sampler("DPM++ 2M", ("k_dpmpp_2m",)), Sampler("Euler a"))
SCHEDULERS = ("Automatic", "Karras", "SGM Uniform")


@pytest.fixture
def catalogue() -> Catalogue:
    """Of one engine that names its samplers and schedulers as the WebUI does."""
    catalogue = Catalogue([ToyEngine("one")], "on")
    catalogue.learn("one", EngineFacts((Checkpoint("x", "x"),), SAMPLERS, SCHEDULERS))
    return catalogue


@pytest.mark.parametrize(
    ("sampler", "scheduler"),
    [
        ("DPM++ 2M", None),
        ("dpm++ 2m", "karras"),
        ("k_dpmpp_2m", "KARRAS"),
        ("DPM++ 2M Karras", None),
        ("dpm++ 2m sgm uniform", None),
        ("Euler a", "sgm_uniform"),
        (None, "automatic"),
    ],
)
def test_samplers_and_schedulers_go_by_the_names_that_upstreams_take(
    catalogue: Catalogue, sampler: str | None, scheduler: str | None
) -> None:
    request = Txt2Img(prompt="a", sampler_name=sampler, scheduler=scheduler)
    assert catalogue.match(request).choices[0] == {"one"}


@pytest.mark.parametrize(
    ("sampler", "scheduler", "error"),
    [
        ("Karras", None, UnknownSampler),
        ("Heun Karras", None, UnknownSampler),
        ("DPM++ 2M Karras", "Karras", UnknownSampler),
        ("DPM++ 2M", "Beta", UnknownScheduler),
    ],
)
def test_other_names_are_refused(
    catalogue: Catalogue, sampler: str, scheduler: str | None, error: type[Exception]
) -> None:
    with pytest.raises(error):
        catalogue.match(Txt2Img(prompt="a", sampler_name=sampler, scheduler=scheduler))


def test_a_scheduler_is_automatic_where_none_are_taken() -> None:
    catalogue = Catalogue([ToyEngine("one")], "on")
    catalogue.learn("one", EngineFacts((Checkpoint("x", "x"),), SAMPLERS))
    catalogue.match(Txt2Img(prompt="a", scheduler="Automatic"))
    with pytest.raises(UnknownScheduler):
        catalogue.match(Txt2Img(prompt="a", scheduler="Karras"))


def test_a_checkpoint_whose_hash_only_some_engines_know_is_one() -> None:
    catalogue = Catalogue([ToyEngine("one"), ToyEngine("two"), ToyEngine("three")], "on")
    for engine, title, digest in (
        ("one", "x.safetensors", None),
        ("two", "x.safetensors [aa]", "aa"),
        ("three", "x.safetensors [bb]", "bb"),
    ):
        catalogue.learn(engine, EngineFacts((Checkpoint("x", title, digest),), SAMPLERS))
    merged = catalogue.checkpoints({"one": "x"}.get)
    assert [(found.title, found.hash, found.engines) for found in merged] == [
        ("x.safetensors [aa]", "aa", ("one", "two")),
        ("x.safetensors [bb]", "bb", ("three",)),
    ]
    assert merged[0].loaded_on == ("one",)


def test_a_hash_asks_for_those_very_weights() -> None:
    catalogue = Catalogue([ToyEngine("one"), ToyEngine("two")], "on")
    for engine, digest in (("one", "aa"), ("two", "bb")):
        catalogue.learn(engine, EngineFacts((Checkpoint("x", "x", digest),), SAMPLERS))
    assert catalogue.match(Txt2Img(prompt="a", checkpoint="bb")).choices[0] == {"two"}
    assert catalogue.match(Txt2Img(prompt="a", checkpoint="x")).choices[0] == {"one", "two"}


def test_what_is_loaded_changes_nothing_in_who_can_serve(catalogue: Catalogue) -> None:
    facts = EngineFacts((Checkpoint("x", "x"),), SAMPLERS, SCHEDULERS, loaded="x")
    assert not catalogue.learn("one", facts)
    assert catalogue.learn("one", EngineFacts((), SAMPLERS, SCHEDULERS))
