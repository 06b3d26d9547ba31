"""What the engines of a pool have, who can serve a request, and all of it merged for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from ai.engines.base import Checkpoint, Device, EngineFacts, Known, Sampler
from ai.errors import (
    InvalidRequest,
    NoEngine,
    UnknownCheckpoint,
    UnknownSampler,
    UnknownScheduler,
    UnsupportedRequest,
)
from ai.generation import Ability, GenerationRequest, Work
from ai.pool_values import CpuFallback, PoolCheckpoint
from ai.samplers import canonical, split_old_name

_NOBODY: frozenset[str] = frozenset()
AUTOMATIC = "Automatic"
"""The scheduler that leaves the choice to the sampler."""
_REMEMBERED = 1000
"""So many answers are kept: callers can spell one thing in many ways."""


@dataclass(frozen=True, slots=True)
class Match:
    """Who can serve a request, by name.

    `checkpoint` is what they call the one asked for. `choices` are, best first: GPU engines
    (or CPU ones in a pool without GPUs), CPU engines that have all that is asked, CPU
    engines that would have to degrade it. `spill` may relieve the first choice.
    """

    checkpoint: str | None
    choices: tuple[frozenset[str], ...]
    spill: frozenset[str]


class Catalogue:
    """Facts of each engine as last told, and answers from them. The pool guards its use."""

    def __init__(self, engines: Sequence[Known], cpu_fallback: CpuFallback) -> None:
        gpu = [engine for engine in engines if engine.tier == "gpu"]
        cpu = [engine for engine in engines if engine.tier == "cpu"]
        self._main = [engine.name for engine in gpu or cpu]
        self._helpers = [engine.name for engine in cpu] if gpu and cpu_fallback != "off" else []
        self._spills = cpu_fallback == "overflow"
        self._devices: dict[str, Device] = {engine.name: engine.device for engine in engines}
        self._facts: dict[str, EngineFacts] = {}
        self._barred: set[tuple[str, str]] = set()
        self._matches: dict[tuple[object, ...], Match] = {}

    def learn(self, engine: str, facts: EngineFacts) -> bool:
        """Take in what `engine` told; True when that changes who can serve what."""
        old = self._facts.get(engine)
        self._facts[engine] = facts
        changed = old is None or replace(old, loaded=None) != replace(facts, loaded=None)
        if changed:
            self._matches.clear()
        return changed

    def bar(self, engine: str, checkpoint: str) -> None:
        """Do not send `engine` requests for `checkpoint` until `unbar`."""
        self._barred.add((engine, checkpoint))
        self._matches.clear()

    def unbar(self, engine: str, checkpoint: str) -> None:
        self._barred.discard((engine, checkpoint))
        self._matches.clear()

    def facts(self) -> dict[str, EngineFacts]:
        """What each engine that was ever reached told last."""
        return dict(self._facts)

    def takes_part(self, engine: str) -> bool:
        """Whether the pool ever sends `engine` anything."""
        return engine in self._main or engine in self._helpers

    # Who can serve it.

    def match(self, request: Work) -> Match:
        """Who can serve `request`.

        Raises UnknownCheckpoint, UnknownSampler, UnknownScheduler, UnsupportedRequest when
        nobody ever could; NoEngine when only engines could that have never been reached.
        """
        key = (request.checkpoint, request.needs, request.sampler_name, request.scheduler)
        if key not in self._matches:
            if len(self._matches) >= _REMEMBERED:
                self._matches.clear()
            self._matches[key] = self._match(request)
        return self._matches[key]

    def _match(self, request: Work) -> Match:
        main, helpers = self._known(self._main), self._known(self._helpers)
        unseen = len(main) < len(self._main)
        able: frozenset[str] = _NOBODY
        try:
            able = self._able(main + helpers, request)
        except InvalidRequest as error:
            if not unseen:
                raise
            if main:
                raise NoEngine(f"No engine reached so far can serve this. {error}") from error
        checkpoint = self._name_of(request.checkpoint, able)
        open_to = frozenset(name for name in able if (name, checkpoint) not in self._barred)
        exact, helping = open_to.intersection(main), open_to.intersection(helpers)
        if not able.intersection(main) and not unseen:
            return Match(checkpoint, (helping,), _NOBODY)
        standing = frozenset(n for n in helpers if request.kind in self._facts[n].abilities)
        spill = helping if self._spills else _NOBODY
        return Match(checkpoint, (exact, helping, standing - helping), spill)

    def expected(
        self,
        request: GenerationRequest,
        *,
        loaded: Callable[[str], str | None],
        usable: Callable[[str], bool],
    ) -> Checkpoint | None:
        """The one checkpoint `request` would be made with now; None where there are several.

        One that names none gets what the engines first to be asked have `loaded`. Raises what
        `match` does.
        """
        choices = self.match(request).choices
        asked = request.checkpoint
        if asked is not None:
            named = (self.checkpoint_on(name, asked) for choice in choices for name in choice)
            return _the_same([checkpoint for checkpoint in named if checkpoint])
        ready = ([name for name in choice if usable(name)] for choice in choices)
        first = next(filter(None, ready), [])
        return _the_same([self.checkpoint_on(name, loaded(name) or "") for name in first])

    def _known(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if name in self._facts]

    def _able(self, names: Sequence[str], request: Work) -> frozenset[str]:
        """Those of `names` that have all a request asks for. Raises what is missing."""
        asked = request.checkpoint
        if asked is not None:
            having = [name for name in names if self.checkpoint_on(name, asked)]
            if not having:
                raise UnknownCheckpoint(asked, self._offered(names, _checkpoint_names))
            names = having
        skilled = [name for name in names if request.needs <= self._facts[name].abilities]
        if not skilled:
            raise self._unsupported(names, request)
        sampling = [name for name in skilled if _has_sampler(self._facts[name], request)]
        if not sampling:
            asked = request.sampler_name or ""
            raise UnknownSampler(asked, self._offered(skilled, _sampler_names))
        taking = [name for name in sampling if _has_scheduler(self._facts[name], request)]
        if not taking:
            raise UnknownScheduler(request.scheduler or "", self._offered(sampling, _schedulers))
        return frozenset(taking)

    def _unsupported(self, names: Sequence[str], request: Work) -> UnsupportedRequest:
        """Says what nobody can do; all of it, where no one engine can do it together."""
        anybody = frozenset().union(*(self._facts[name].abilities for name in names))
        missing = sorted(request.needs - anybody or request.needs)
        nobody = (
            "no engine here" if request.checkpoint is None else "no engine with that checkpoint"
        )
        return UnsupportedRequest("model", f"{nobody} does {', '.join(missing)}", missing)

    def checkpoint_on(self, engine: str, asked: str) -> Checkpoint | None:
        """The checkpoint of `engine` that a caller who wrote `asked` means."""
        known = self._facts[engine].checkpoints if engine in self._facts else ()
        return next((checkpoint for checkpoint in known if checkpoint.answers_to(asked)), None)

    def worded(self, request: Work, engine: str, loaded: str | None) -> Work:
        """`request` with its checkpoint as `engine` spells it; `loaded` if it names none."""
        if not isinstance(request, GenerationRequest):
            return request
        if request.checkpoint is None:
            return replace(request, checkpoint=loaded)
        known = self.checkpoint_on(engine, request.checkpoint)
        return request if known is None else replace(request, checkpoint=known.name)

    def _name_of(self, asked: str | None, engines: Iterable[str]) -> str | None:
        for engine in sorted(engines) if asked is not None else ():
            checkpoint = self.checkpoint_on(engine, asked or "")
            if checkpoint is not None:
                return checkpoint.name
        return asked

    def _offered(
        self, engines: Iterable[str], offer: Callable[[EngineFacts], Iterable[str]]
    ) -> list[str]:
        names = (name for engine in engines for name in offer(self._facts[engine]))
        return list(dict.fromkeys(names))

    # What there is.

    def checkpoints(self, loaded: Callable[[str], str | None]) -> tuple[PoolCheckpoint, ...]:
        """Every checkpoint once; `loaded` tells which one an engine has in memory.

        Those of one name are one, unless their hashes are known to differ.
        """
        members = [(name, c) for name in self._playing() for c in self._facts[name].checkpoints]
        hashes = {c.name: c.hash for _, c in reversed(members) if c.hash is not None}
        found: dict[tuple[str, str | None], dict[str, Checkpoint]] = {}
        for engine, checkpoint in members:
            key = (checkpoint.name, checkpoint.hash or hashes.get(checkpoint.name))
            found.setdefault(key, {})[engine] = checkpoint
        return tuple(self._merged(by_engine, loaded) for by_engine in found.values())

    def _merged(
        self, by_engine: dict[str, Checkpoint], loaded: Callable[[str], str | None]
    ) -> PoolCheckpoint:
        known = max(by_engine.values(), key=lambda checkpoint: checkpoint.hash is not None)
        return PoolCheckpoint(
            name=known.name,
            title=known.title,
            hash=known.hash,
            engines=tuple(by_engine),
            loaded_on=tuple(engine for engine in by_engine if loaded(engine) == known.name),
            devices=tuple(dict.fromkeys(self._devices[engine] for engine in by_engine)),
        )

    def samplers(self) -> tuple[Sampler, ...]:
        """Every sampler once, with all the names it goes by."""
        aliases: dict[str, dict[str, None]] = {}
        for engine in self._playing():
            for sampler in self._facts[engine].samplers:
                aliases.setdefault(sampler.name, {}).update(dict.fromkeys(sampler.aliases))
        return tuple(Sampler(name, tuple(known)) for name, known in aliases.items())

    def schedulers(self) -> tuple[str, ...]:
        """Every noise schedule once."""
        return tuple(self._offered(self._playing(), _schedulers))

    def abilities(self) -> frozenset[Ability]:
        """All that one or another can do."""
        return frozenset().union(*(self._facts[name].abilities for name in self._playing()))

    def _playing(self) -> list[str]:
        return self._known(self._main + self._helpers)


def _the_same(checkpoints: Sequence[Checkpoint | None]) -> Checkpoint | None:
    """The checkpoint that all of these are, with its hash if any of them tells it."""
    known = [checkpoint for checkpoint in checkpoints if checkpoint is not None]
    names = {checkpoint.name for checkpoint in known}
    hashes = {checkpoint.hash for checkpoint in known if checkpoint.hash is not None}
    if len(known) < len(checkpoints) or len(names) != 1 or len(hashes) > 1:
        return None
    return next((checkpoint for checkpoint in known if checkpoint.hash), known[0])


def _has_sampler(facts: EngineFacts, request: Work) -> bool:
    """By name or alias; or with the scheduler in the name, as the WebUI had it before 1.9."""
    asked = request.sampler_name
    if asked is None or canonical(asked, facts.samplers):
        return True
    in_one_name = split_old_name(asked, facts.samplers, facts.schedulers)
    return request.scheduler is None and in_one_name is not None


def _has_scheduler(facts: EngineFacts, request: Work) -> bool:
    """Upstreams take "sgm_uniform" and "SGM Uniform" alike; "Automatic" is any sampler's own."""
    asked = _letters(request.scheduler or AUTOMATIC)
    return asked == _letters(AUTOMATIC) or asked in map(_letters, facts.schedulers)


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


def _checkpoint_names(facts: EngineFacts) -> Iterable[str]:
    return (checkpoint.name for checkpoint in facts.checkpoints)


def _sampler_names(facts: EngineFacts) -> Iterable[str]:
    return (sampler.name for sampler in facts.samplers)


def _schedulers(facts: EngineFacts) -> Iterable[str]:
    return facts.schedulers
