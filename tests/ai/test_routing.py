"""The router: who is served next, and the bounds that hold whoever else is there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ai.routing import RoutingPolicy
from tests.ai.routing_scene import Scene, learnt

# Affinity.


def test_an_engine_that_has_the_checkpoint_loaded_is_preferred() -> None:
    scene = Scene({"a": "x", "b": "y", "c": "z"})
    scene.ask("caller", "y")
    (start,) = scene.starts()
    assert (start.engine, start.switch) == ("b", False)


def test_a_request_for_any_checkpoint_never_makes_a_switch() -> None:
    scene = Scene({"a": "x"})
    scene.ask("caller", None)
    (start,) = scene.starts()
    assert not start.switch


def test_a_burst_of_one_checkpoint_shares_one_switch() -> None:
    scene = Scene({"a": "x"})
    scene.ask("other", "x")
    (first,) = scene.starts()
    for number in range(6):
        scene.ask(f"caller {number}", "y" if number % 2 else "z")
    checkpoints = [job.checkpoint for job in scene.served(first)]
    assert checkpoints in (list("zzzyyy"), list("yyyzzz"))


def test_idle_engines_leave_a_short_burst_to_the_one_that_loads_its_checkpoint() -> None:
    scene = Scene({"a": "x", "b": "x", "c": "x"})
    learnt(scene, job_s=1.0, switch_s=10.0)
    for number in range(4):
        scene.ask(f"caller {number}", "new")
    assert len(scene.starts()) == 1


def test_a_burst_that_outweighs_a_switch_gets_a_second_engine() -> None:
    scene = Scene({"a": "x", "b": "x", "c": "x"})
    learnt(scene, job_s=1.0, switch_s=2.0)
    for number in range(12):
        scene.ask(f"caller {number}", "new")
    assert len(scene.starts()) == 3


def test_an_idle_engine_holds_back_no_longer_than_switching_costs() -> None:
    scene = Scene({"a": "x", "b": "y"})
    learnt(scene, job_s=1.0, switch_s=4.0)
    scene.ask("caller", "new")
    (busy,) = scene.starts()
    scene.ask("caller", "new")
    assert scene.starts() == []
    assert scene.router.wake_at is not None
    scene.now = scene.router.wake_at
    (start,) = scene.starts()
    assert start.switch
    assert start.engine != busy.engine


def test_the_engine_whose_checkpoint_others_have_too_is_the_one_to_switch() -> None:
    scene = Scene({"a": "x", "b": "rare", "c": "x"})
    scene.ask("caller", "new")
    (start,) = scene.starts()
    assert start.engine in ("a", "c")


def test_of_idle_engines_that_are_warm_the_fastest_is_taken() -> None:
    scene = Scene({"slow": "x", "fast": "x"})
    for name, seconds in (("slow", 9.0), ("fast", 3.0)):
        scene.ask("caller", "x", choices=(frozenset({name}),))
        (start,) = scene.starts()
        scene.finish(start, seconds=seconds)
        assert scene.starts() == []
    scene.ask("caller", "x")
    assert scene.starts()[0].engine == "fast"


def test_an_idle_engine_loads_what_most_wait_for() -> None:
    scene = Scene({"a": "x"})
    scene.ask("first", "x")
    (at_work,) = scene.starts()
    for number, checkpoint in enumerate("yzz"):
        scene.ask(f"caller {number}", checkpoint)
    assert "".join(job.checkpoint or "" for job in scene.served(at_work)) == "zzy"


# Turns.


def test_callers_take_turns() -> None:
    scene = Scene({"a": "x"})
    scene.ask("first")
    (first,) = scene.starts()
    for caller in ("heavy", "heavy", "heavy", "light", "light", "heavy"):
        scene.ask(caller)
    callers = [job.caller for job in scene.served(first)]
    assert callers == ["heavy", "light", "heavy", "light", "heavy", "heavy"]


@pytest.mark.parametrize("engines", [1, 2, 3])
def test_a_hundred_queued_requests_delay_anothers_one_by_one_job_per_engine(engines: int) -> None:
    scene = Scene(dict.fromkeys(("a", "b", "c")[:engines], "x"))
    for _ in range(100 + engines):
        scene.ask("heavy", "x")
    at_work = scene.starts()
    scene.ask("light", "y")
    served = [job.caller for job in scene.served(*at_work)]
    assert served.index("light") <= engines


def test_one_who_asks_for_one_at_a_time_passes_no_oftener_than_one_who_queues() -> None:
    scene = Scene({"a": "x"}, RoutingPolicy(patience=1000))
    scene.ask("first", "x")
    (scene.at_work,) = scene.starts()
    cold = scene.ask("patient", "y")
    assert scene.pass_by("eager").job.caller == "eager"
    for number in range(100):
        assert scene.pass_by(f"newcomer {number}").job is not cold
    assert scene.pass_by("eager").job is cold


def test_when_one_is_overdue_the_most_senior_goes_first() -> None:
    scene = Scene({"a": "x"}, RoutingPolicy(patience=1))
    scene.ask("first", "x")
    (scene.at_work,) = scene.starts()
    leaving = [scene.ask(f"leaves {number}", "x") for number in range(20)]
    senior = scene.ask("senior", "y")
    for job in leaving:
        scene.router.remove(job.id)
    scene.ask("overdue sooner", "z")
    passing = (scene.pass_by(f"newcomer {number}").job for number in range(40))
    assert next(job for job in passing if job.checkpoint != "x") is senior


def test_a_request_that_waits_again_keeps_its_turn() -> None:
    scene = Scene({"a": "x"})
    tried = scene.ask("early")
    (start,) = scene.starts()
    scene.ask("late")
    scene.router.finished("a", tried.id, 1.0, loaded="x", learn=False)
    scene.router.add(tried, turn=start.turn)
    assert scene.starts()[0].job is tried


def test_positions_count_turns() -> None:
    scene = Scene({})
    jobs = [scene.ask(caller) for caller in ("a", "a", "a", "b", "c")]
    assert [scene.router.position(job.id) for job in jobs] == [1, 4, 5, 2, 3]


def test_a_request_taken_out_is_not_served() -> None:
    scene = Scene({"a": "x"})
    running = scene.ask("caller")
    scene.starts()
    gone = scene.ask("caller")
    assert scene.router.remove(gone.id)
    assert not scene.router.remove(gone.id)
    assert not scene.router.remove(running.id)
    assert len(scene.router) == 0


# Choices.


def test_a_stand_in_serves_only_when_nobody_better_is_usable() -> None:
    scene = Scene({"gpu": "x", "cpu": "x"})
    choices = (frozenset({"gpu"}), frozenset({"cpu"}))
    scene.ask("caller", choices=choices)
    scene.ask("caller", choices=choices)
    assert [start.engine for start in scene.starts()] == ["gpu"]
    scene.router.set_engine("gpu", slots=0, loaded="x")
    (start,) = scene.starts()
    assert (start.engine, start.choice) == ("cpu", 1)


def test_spilling_waits_until_the_queue_is_longer_than_the_stand_in_is_slow() -> None:
    scene = Scene({"gpu": "x", "cpu": "x"})
    for name, seconds in (("gpu", 1.0), ("cpu", 4.0)):
        scene.ask("caller", choices=(frozenset({name}),))
        (start,) = scene.starts()
        scene.finish(start, seconds=seconds)
    gpu, cpu = (frozenset({"gpu"}),), frozenset({"cpu"})
    for _ in range(5):
        scene.ask("caller", choices=gpu, spill=cpu)
    assert [start.engine for start in scene.starts()] == ["gpu"]
    last = scene.ask("caller", choices=gpu, spill=cpu)
    (start,) = scene.starts()
    assert (start.engine, start.choice, start.job) == ("cpu", None, last)


def test_requests_wait_while_no_engine_is_usable_and_start_when_one_is() -> None:
    scene = Scene({"a": "x"})
    scene.router.set_engine("a", slots=0, loaded="x")
    scene.ask("caller")
    assert scene.starts() == []
    scene.router.set_engine("a", slots=1, loaded="x")
    assert len(scene.starts()) == 1


def test_requests_may_be_given_to_other_engines_and_keep_their_order() -> None:
    scene = Scene({"a": "x", "b": "x"})
    for name in ("a", "b"):
        scene.ask("busy", choices=(frozenset({name}),))
    (on_b,) = (start for start in scene.starts() if start.engine == "b")
    jobs = [scene.ask("caller", choices=(frozenset({"a"}),)) for _ in range(3)]
    scene.ask("later", choices=(frozenset({"b"}),))
    for job in jobs:
        scene.router.replace(replace(job, choices=(frozenset({"b"}),)))
    served = [job.id for job in scene.served(on_b)]
    assert served == [jobs[0].id, jobs[2].id + 1, jobs[1].id, jobs[2].id]


@pytest.mark.parametrize("patience", [1, 8])
def test_a_stream_of_warm_newcomers_does_not_starve_a_cold_request(patience: int) -> None:
    scene = Scene({"a": "x"}, RoutingPolicy(patience=patience))
    scene.ask("first", "x")
    (scene.at_work,) = scene.starts()
    cold = scene.ask("patient", "y")
    served = [scene.pass_by(f"newcomer {number}").job for number in range(100)]
    assert served.index(cold) <= 2 * 2 + patience
