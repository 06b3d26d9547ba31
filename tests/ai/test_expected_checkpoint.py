"""Which checkpoint a request would be made with, where that is certain."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from ai.catalogue import Catalogue
from ai.engines.base import Checkpoint, EngineFacts, Sampler, Tier
from ai.errors import UnknownCheckpoint
from ai.generation import Txt2Img

A = Checkpoint("tinyA", "tinyA [a1]", "a1")
A_UNHASHED = Checkpoint("tinyA", "tinyA.safetensors")
OTHER_A = Checkpoint("tinyA", "tinyA [a2]", "a2")
B = Checkpoint("tinyB", "tinyB [b1]", "b1")
DEMO = Checkpoint("demo", "demo [d1]", "d1")


class Named:
    """As much of an engine as the catalogue looks at."""

    device = "cuda"

    def __init__(self, name: str, tier: Tier = "gpu") -> None:
        self.name, self.tier = name, tier


def expected(
    facts: Mapping[str, tuple[Checkpoint, ...]],
    asked: str | None = None,
    *,
    loaded: Mapping[str, str | None] | None = None,
    down: str = "",
) -> Checkpoint | None:
    """Of a pool of these engines, the CPU ones of which have a name that begins so."""
    engines = [Named(name, "cpu" if name.startswith("cpu") else "gpu") for name in facts]
    catalogue = Catalogue(engines, "on")  # type: ignore[arg-type]
    for name, checkpoints in facts.items():
        catalogue.learn(name, EngineFacts(checkpoints, (Sampler("Euler a"),)))
    return catalogue.expected(
        Txt2Img(prompt="a star", checkpoint=asked),
        loaded=lambda name: (loaded or {}).get(name),
        usable=lambda name: name != down,
    )


@pytest.mark.parametrize("asked", ["tinyA", "tinyA [a1]", "tinyA.safetensors", "a1"])
def test_one_asked_for_is_known_by_any_of_its_names(asked: str) -> None:
    assert expected({"one": (A, B), "two": (B, A), "cpu": (DEMO,)}, asked) == A


def test_engines_with_other_weights_of_that_name_leave_it_uncertain() -> None:
    assert expected({"one": (A,), "two": (OTHER_A,)}, "tinyA") is None


def test_a_hash_that_one_engine_tells_is_enough() -> None:
    assert expected({"one": (A_UNHASHED,), "two": (A,)}, "tinyA") == A
    unhashed = expected({"one": (A_UNHASHED,)}, "tinyA")
    assert unhashed == A_UNHASHED


def test_one_asked_for_is_the_same_while_its_engine_is_down() -> None:
    assert expected({"one": (A,), "cpu": (DEMO,)}, "tinyA", down="one") == A


def test_without_a_name_it_is_what_is_loaded_on_all_that_are_asked_first() -> None:
    facts = {"one": (A, B), "two": (A, B), "cpu": (DEMO,)}
    both_a = {"one": "tinyA", "two": "tinyA", "cpu": "demo"}
    assert expected(facts, loaded=both_a) == A
    assert expected(facts, loaded=both_a | {"two": "tinyB"}) is None
    assert expected(facts, loaded=both_a | {"two": None}) is None
    assert expected(facts, loaded=both_a | {"two": "tinyB"}, down="two") == A


def test_a_stand_in_counts_once_nobody_else_can_be_asked() -> None:
    facts = {"one": (A,), "cpu": (DEMO,)}
    assert expected(facts, loaded={"one": "tinyA", "cpu": "demo"}, down="one") == DEMO


def test_with_nobody_to_ask_nothing_is_certain() -> None:
    assert expected({"one": (A,)}, loaded={"one": "tinyA"}, down="one") is None


def test_one_that_nobody_has_is_refused() -> None:
    with pytest.raises(UnknownCheckpoint):
        expected({"one": (A,)}, "tinyC")
