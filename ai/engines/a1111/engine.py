"""The WebUI over /sdapi/v1: Automatic1111, Forge, SD.Next and stable-diffusion.cpp's server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from ai.engines.a1111.answer import Reading
from ai.engines.a1111.choice import choose
from ai.engines.a1111.client import Reply, WebUIClient
from ai.engines.a1111.errors import error_for
from ai.engines.a1111.facts import Known, read_known
from ai.engines.a1111.lists import cleaned
from ai.engines.a1111.payload import PATHS, payload
from ai.engines.a1111.progress import read_progress, says_interrupted
from ai.engines.a1111.tools import PATHS as TOOL_PATHS
from ai.engines.a1111.tools import read_tool_answer, tool_payload
from ai.engines.base import Device, EngineFacts, ListName, Tier
from ai.errors import (
    EngineError,
    EngineLost,
    EngineTimeout,
    GenerationCanceled,
    WrongResult,
)
from ai.generation import Generation, GenerationRequest, Progress
from ai.tools import Tool

_OK = 200
_NOT_FOUND = 404
_CONTROLNET = "controlnet/"
"""This extension's routes stand beside the WebUI's own, not below them."""
_INTERRUPT_TIMEOUT_S = 5.0
"""Longer than a probe's: an interrupt given up on may still come, and hit the next job."""
_INTERRUPT_AGAIN_AFTER_S = (0.05, 0.1, 0.2, 0.4)


@dataclass(eq=False)
class _Flight:
    """One call of generate or use: from before its request is sent until its answer is read."""

    steps: int
    is_interrupted: bool = False
    has_landed: threading.Event = field(default_factory=threading.Event)


class A1111Engine:
    """One WebUI at `url`, where user:password@ is its --api-auth and a path prefix may be.

    A generation takes at most `read_timeout_s`, and at most what its caller gives; probes,
    progress and the lists take `probe_timeout_s`. `max_answer_bytes` bounds every answer.
    `concurrency` above 1 is for an upstream that is itself a balancer: progress and
    interrupts there would speak of any request, so that there are none.

    An interrupt is global there: it hits whatever runs. It is sent only while exactly one
    request, ours, is in flight, and that request is not given back before the interrupt's
    own answer is there, so that it cannot hit the next. This holds while nobody else uses
    the upstream.

    Raises ValueError for a URL that is none of a WebUI.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        tier: Tier,
        device: Device,
        concurrency: int = 1,
        connect_timeout_s: float = 3.0,
        read_timeout_s: float = 600.0,
        probe_timeout_s: float = 2.0,
        max_answer_bytes: int = 256 * 2**20,
    ) -> None:
        self.name = name
        self.tier = tier
        self.device = device
        self.concurrency = concurrency
        self._read_timeout_s = read_timeout_s
        self._probe_timeout_s = probe_timeout_s
        self._client = WebUIClient(
            name,
            url,
            concurrency=concurrency,
            connect_timeout_s=connect_timeout_s,
            max_answer_bytes=max_answer_bytes,
        )
        self._known: Known | None = None
        self._last_used: str | None = None
        self._flights: list[_Flight] = []
        self._flights_change = threading.Lock()

    def describe(self) -> EngineFacts:
        """Ask for its checkpoints, samplers and schedulers, and which checkpoint is loaded.

        Raises EngineUnavailable while it starts up, EngineRefused for wrong credentials,
        WrongResult when it answers as no WebUI does.
        """
        return self._learn().facts

    def generate(
        self, request: GenerationRequest, *, timeout_s: float, stand_in: bool = False
    ) -> Generation:
        """Make the images. Describes first if that was never done; see Engine for the rest.

        When the time is up the upstream is interrupted, for it would work on unheard.
        """
        request = request.with_seed()
        known = self._known or self._learn()
        choice = choose(request, known, stand_in=stand_in)
        body = orjson.dumps(
            payload(request, choice, options=None if known.is_sdcpp else known.options)
        )
        reply = self._answered(PATHS[request.kind], body, request.effective_steps, timeout_s)
        generation = Reading(self.name, request, choice, known).generation(reply.body)
        self._last_used = generation.checkpoint
        return generation

    def use(self, tool: Tool, *, timeout_s: float) -> Generation:
        """Do the work of `tool`. It holds the WebUI's lock, so that it counts as in flight.

        Raises what `generate` does.
        """
        body = orjson.dumps(tool_payload(tool))
        reply = self._answered(TOOL_PATHS[tool.kind], body, tool.effective_steps, timeout_s)
        return read_tool_answer(self.name, tool, reply.body)

    def listing(self, name: ListName) -> Any:
        """What GET of it answers, without paths; None where it is absent. Raises EngineError."""
        path = f"/{name}" if name.startswith(_CONTROLNET) else name
        return cleaned(self._ask(path, optional=True))

    def interrupt(self) -> None:
        """Stop the one request in flight, whose generate then raises GenerationCanceled."""
        with self._flights_change:
            flight = self._only_flight()
            if flight is not None:
                self._interrupt(flight)

    def progress(self, *, preview: bool = False) -> Progress | None:
        """Asked of the upstream each time, within `probe_timeout_s`; never raises."""
        flight = self._only_flight()
        if flight is None:
            return None
        told = self._ask_progress(preview=preview)
        return None if flight.has_landed.is_set() else read_progress(told, flight.steps)

    def close(self) -> None:
        self._client.close()

    def _answered(self, path: str, body: bytes, steps: int, timeout_s: float) -> Reply:
        """The 200 to a POST that takes the upstream's lock.

        Raises EngineError or GenerationCanceled.
        """
        with self._in_flight(steps) as flight:
            reply = self._send(path, body, min(timeout_s, self._read_timeout_s))
        if flight.is_interrupted:
            raise GenerationCanceled("the generation was interrupted")
        if reply.status != _OK:
            raise error_for(self.name, reply)
        return reply

    @contextmanager
    def _in_flight(self, steps: int) -> Iterator[_Flight]:
        """Leaving waits for an interrupt that is being sent."""
        flight = _Flight(steps)
        with self._flights_change:
            self._flights.append(flight)
        try:
            yield flight
        finally:
            flight.has_landed.set()
            with self._flights_change:
                self._flights.remove(flight)

    def _only_flight(self) -> _Flight | None:
        """The request in flight, if it is the only one that can be."""
        flights = list(self._flights)
        return flights[0] if self.concurrency == len(flights) == 1 else None

    def _send(self, path: str, body: bytes, timeout_s: float) -> Reply:
        try:
            return self._client.post(path, body, timeout_s=timeout_s)
        except EngineError as error:
            self._last_used = None
            may_be_at_work = isinstance(error, EngineTimeout | EngineLost)
            if may_be_at_work and self._only_flight() is not None:
                self._post_interrupt()
            raise

    def _interrupt(self, flight: _Flight) -> None:
        """A job that has not begun forgets an interrupt: again, until it says it is stopping."""
        for pause_s in _INTERRUPT_AGAIN_AFTER_S:
            if not self._post_interrupt():
                return
            flight.is_interrupted = True
            if self._is_stopping() or flight.has_landed.wait(pause_s):
                return

    def _post_interrupt(self) -> bool:
        """False if it was refused, or is absent as in sd.cpp; when in doubt it was heard."""
        try:
            reply = self._client.post("interrupt", None, timeout_s=_INTERRUPT_TIMEOUT_S)
        except EngineError:
            return True
        return reply.status == _OK

    def _is_stopping(self) -> bool:
        return says_interrupted(self._ask_progress(preview=False))

    def _ask_progress(self, *, preview: bool) -> bytes:
        """The body of GET progress; empty where there is none."""
        if self._known is not None and self._known.is_sdcpp:
            return b""
        query = "" if preview else "?skip_current_image=true"
        try:
            reply = self._client.get(f"progress{query}", timeout_s=self._probe_timeout_s)
        except EngineError:
            return b""
        return reply.body if reply.status == _OK else b""

    def _learn(self) -> Known:
        known = read_known(
            sd_models=self._ask("sd-models"),
            samplers=self._ask("samplers"),
            schedulers=self._ask("schedulers", optional=True),
            options=self._ask("options", optional=True),
            scripts=self._ask("scripts", optional=True),
        )
        if known is None:
            raise WrongResult(self.name, f"{self.name} does not answer as a WebUI does")
        if self._known is not None:
            known = known.with_options(self._known.options)
        self._known = known.with_loaded(self._last_used)
        return self._known

    def _ask(self, path: str, *, optional: bool = False) -> object:
        """The parsed body; None for an `optional` path that is absent there."""
        reply = self._client.get(path, timeout_s=self._probe_timeout_s)
        if optional and reply.status == _NOT_FOUND:
            return None
        if reply.status != _OK:
            raise error_for(self.name, reply)
        try:
            return orjson.loads(reply.body)
        except orjson.JSONDecodeError as error:
            message = f"{self.name} does not answer as a WebUI does"
            raise WrongResult(self.name, message) from error
