"""How well routing does on a simulated fleet, beside others.  python -m bench.routing"""

from __future__ import annotations

import time

from bench.routing_rivals import LeastLoaded, Pressure, RoundRobin, Sluice
from bench.routing_simulation import clairvoyant_utilisation, simulate, workload

RIVALS = {
    "sluice": Sluice,
    "round-robin": RoundRobin,
    "least-loaded": LeastLoaded,
    "pressure": Pressure,
}


def main() -> None:
    for engines, jobs_per_engine in ((4, 500), (64, 60), (1000, 20)):
        for checkpoints in (1, 2, 8):
            for alike in (False, True):
                load = workload(engines, checkpoints, jobs_per_engine=jobs_per_engine, alike=alike)
                best = clairvoyant_utilisation(load)
                for name, rival in RIVALS.items():
                    t = time.perf_counter()
                    m = simulate(load, rival(load.speeds))
                    if name == "sluice":
                        ours = m
                    t = time.perf_counter() - t
                    if name == "round-robin":
                        ratio = ours.makespan / m.makespan
                    print(
                        f"{engines:5} {checkpoints:2} {'alike' if alike else 'mixed'} {name:13}"
                        f" util {m.utilisation:.3f} of {best:.3f} = {m.utilisation / best:.3f}"
                        f" warm {m.warm_share:.3f} p50 {m.wait_p50:7.2f} p99 {m.wait_p99:7.2f}"
                        f" sw {m.switches:6} mk {m.makespan:8.1f} T {load.until:8.1f}  [{t:.2f}s]"
                    )
                print("   makespan vs RR", round(ratio, 3))


main()
