"""What holds for any fleet and any history: the bounds stated in ai/routing.py."""

from __future__ import annotations

from hypothesis import given, settings

from tests.ai.routing_world import Step, World, fleets, histories

EVERY_MIX = settings(max_examples=100, deadline=None)


@EVERY_MIX
@given(fleets(), histories())
def test_no_engine_has_more_in_flight_than_it_has_places(world: World, history: list[Step]) -> None:
    world.play(history)
    assert all(run <= world.slots[name] for name, run in world.most_in_flight.items())


@EVERY_MIX
@given(fleets(), histories())
def test_each_request_starts_once_on_an_engine_that_can_serve_it(
    world: World, history: list[Step]
) -> None:
    world.play(history)
    world.run_out()
    assert sorted(world.started) == sorted(world.asked - world.removed)


@EVERY_MIX
@given(fleets(), histories())
def test_no_engine_stands_idle_beside_work_it_is_warm_for(
    world: World, history: list[Step]
) -> None:
    world.play(history)
    assert world.idle_beside_warm_work == []


@EVERY_MIX
@given(fleets(), histories())
def test_a_caller_overtakes_anothers_oldest_request_once_per_engine_at_most(
    world: World, history: list[Step]
) -> None:
    world.play(history)
    world.run_out()
    assert world.unfair == []


@EVERY_MIX
@given(fleets(), histories())
def test_nobody_starves(world: World, history: list[Step]) -> None:
    world.play(history)
    world.run_out()
    assert world.starved == []
