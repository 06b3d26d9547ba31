"""A router with a clock that only moves when told."""

from __future__ import annotations

from dataclasses import dataclass, field

from ai.routing import Router, RoutingPolicy, Start, Waiting

WORK = 5.0


@dataclass
class Scene:
    """A router with a clock that only moves when told. Engines are warm for what they name."""

    engines: dict[str, str | None]
    policy: RoutingPolicy = field(default_factory=RoutingPolicy)
    now: float = 0.0
    numbers: int = 0
    at_work: Start = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.router = Router(self.policy)
        self.everywhere = frozenset(self.engines)
        for name, loaded in self.engines.items():
            self.router.set_engine(name, slots=1, loaded=loaded)
        assert self.starts() == []

    def ask(
        self,
        caller: str,
        checkpoint: str | None = "x",
        *,
        choices: tuple[frozenset[str], ...] = (),
        spill: frozenset[str] = frozenset(),
    ) -> Waiting:
        self.numbers += 1
        choices = choices or (self.everywhere,)
        job = Waiting(self.numbers, caller, checkpoint, choices, WORK, self.now, spill)
        self.router.add(job)
        return job

    def starts(self) -> list[Start]:
        return list(iter(lambda: self.router.decide(self.now), None))

    def finish(self, start: Start, *, seconds: float = 1.0) -> None:
        self.now += seconds
        loaded = start.job.checkpoint or self.engines[start.engine]
        self.router.finished(start.engine, start.job.id, self.now, loaded=loaded, learn=True)

    def pass_by(self, caller: str, checkpoint: str = "x") -> Start:
        """One more request comes and the one at work ends; what starts then."""
        self.ask(caller, checkpoint)
        self.finish(self.at_work)
        (self.at_work,) = self.starts()
        return self.at_work

    def served(self, *at_work: Start) -> list[Waiting]:
        """The order in which all that waits is served once these end, one after another."""
        order: list[Waiting] = []
        running = list(at_work)
        while running:
            self.finish(running.pop(0))
            running += (following := self.starts())
            order += [start.job for start in following]
        return order


def learnt(scene: Scene, *, job_s: float, switch_s: float) -> None:
    """Let each engine show how long a job and a switch take it."""
    for _ in range(2):
        for name, loaded in scene.engines.items():
            own = scene.ask("teacher", loaded, choices=(frozenset({name}),))
            (start,) = scene.starts()
            assert start.job is own
            scene.finish(start, seconds=job_s if not start.switch else job_s + switch_s)
        for name in scene.engines:
            scene.ask("teacher", "lesson", choices=(frozenset({name}),))
            (start,) = scene.starts()
            scene.finish(start, seconds=job_s + switch_s)
    assert scene.starts() == []
