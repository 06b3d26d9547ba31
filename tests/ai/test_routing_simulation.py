"""The bars of bench/routing.py, on fleets small enough for a test."""

from __future__ import annotations

import pytest

from bench.routing_rivals import RoundRobin, Sluice
from bench.routing_simulation import clairvoyant_utilisation, simulate, workload


@pytest.mark.parametrize(("engines", "jobs_per_engine"), [(4, 250), (64, 30)])
@pytest.mark.parametrize("checkpoints", [1, 2, 8])
def test_engines_are_used_nearly_as_well_as_foresight_could(
    engines: int, jobs_per_engine: int, checkpoints: int
) -> None:
    load = workload(engines, checkpoints, jobs_per_engine=jobs_per_engine)
    reached = simulate(load, Sluice(load)).utilisation
    assert reached >= 0.95 * clairvoyant_utilisation(load)


def test_a_mix_of_eight_is_done_in_half_the_time_of_round_robin() -> None:
    load = workload(64, 8, jobs_per_engine=30)
    theirs = simulate(load, RoundRobin(load)).makespan
    assert simulate(load, Sluice(load)).makespan <= theirs / 2


def test_the_simulation_makes_every_job_once() -> None:
    load = workload(4, 2, jobs_per_engine=50)
    sluice = Sluice(load)
    simulate(load, sluice)
    assert len(sluice.router) == 0
