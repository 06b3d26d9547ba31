"""The one job at a time of a fake WebUI: its queue, its steps, its progress."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.fake_webui_wire import Crash, Json


class FifoLock:
    """First come, first served, as the WebUI's own lock around its one job."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._waiting: deque[object] = deque()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        ticket = object()
        with self._condition:
            self._waiting.append(ticket)
            self._condition.wait_for(lambda: self._waiting[0] is ticket)
        try:
            yield
        finally:
            with self._condition:
                self._waiting.popleft()
                self._condition.notify_all()


class JobState:
    """What GET progress tells: global, and partly stale from the job before."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held_at: int | None = None
        self._stopping = False
        self._started_at = 0.0
        self.skipped = self.interrupted = False
        self.job = ""
        self.job_count = self.job_no = self.sampling_step = self.sampling_steps = 0
        self.job_timestamp = time.strftime("%Y%m%d%H%M%S")
        self.steps_taken: list[int] = []

    # The hooks of tests.

    def hold(self, at_step: int = 0) -> None:
        """Let jobs get no further than `at_step`, until `release`; interrupts still stop them."""
        with self._changed:
            self._held_at = at_step

    def release(self) -> None:
        with self._changed:
            self._held_at = None
            self._changed.notify_all()

    def wait_for_step(self, step: int, timeout_s: float = 10.0) -> None:
        """Return once a job is at `step` or beyond. Raises TimeoutError."""
        with self._changed:
            reached = self._changed.wait_for(
                lambda: bool(self.job) and self.sampling_step >= step, timeout_s
            )
        if not reached:
            raise TimeoutError(f"no job came to step {step}")

    def stop(self) -> None:
        """End whatever runs: the process goes away."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def restart(self) -> None:
        with self._changed:
            self._stopping = False

    # What jobs do.

    @contextmanager
    def begin(self, job: str) -> Iterator[None]:
        with self._changed:
            self.skipped = self.interrupted = False
            self.job, self.job_count, self.job_no, self.sampling_step = job, -1, 0, 0
            self.job_timestamp = time.strftime("%Y%m%d%H%M%S")
            self._started_at = time.monotonic()
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self.job, self.job_count, self.sampling_step = "", 0, 0
                self.job_no += 1

    def sample(self, steps: int, step_s: float) -> float:
        """Take the steps; returns how much of them was done before an interrupt, 0 to 1.

        Each is done at its time since the job began, however late the one before was.
        """
        with self._changed:
            self._wait_while_held(step=0)
            self.job_count, self.sampling_steps = 1, steps
            while self.sampling_step < steps and not (self.interrupted or self.skipped):
                if step_s:
                    due = self._started_at + (self.sampling_step + 1) * step_s
                    self._changed.wait_for(self._called_off, due - time.monotonic())
                    if self._called_off():
                        break
                self.sampling_step += 1
                self._changed.notify_all()
                self._wait_while_held(self.sampling_step)
            self.steps_taken.append(self.sampling_step)
            if self._stopping:
                raise Crash("SystemExit", "the process is going away")
            return self.sampling_step / steps

    def _wait_while_held(self, step: int) -> None:
        self._changed.wait_for(
            lambda: self._held_at is None or step < self._held_at or self._called_off()
        )

    def _called_off(self) -> bool:
        return self._stopping or self.interrupted or self.skipped

    # What others may do to them.

    def interrupt(self) -> None:
        with self._changed:
            self.interrupted = True
            self._changed.notify_all()

    def skip(self) -> None:
        with self._changed:
            self.skipped = True
            self._changed.notify_all()

    def progress(self, current_image: str | None) -> Json:
        """The body of GET progress."""
        with self._changed:
            fraction = self._fraction()
            elapsed_s = time.monotonic() - self._started_at
            eta_s = elapsed_s / fraction - elapsed_s if fraction else 0.0
            return {
                "progress": fraction,
                "eta_relative": eta_s,
                "state": self._state(),
                "current_image": current_image if self.job_count > 0 else None,
                "textinfo": None,
            }

    def _fraction(self) -> float:
        if self.job_count == 0:
            return 0.0
        fraction = 0.01
        if self.job_count > 0:
            fraction += self.job_no / self.job_count
        if self.sampling_steps > 0:
            fraction += self.sampling_step / self.sampling_steps / self.job_count
        return min(fraction, 1.0)

    def _state(self) -> dict[str, Any]:
        return {
            "skipped": self.skipped,
            "interrupted": self.interrupted,
            "stopping_generation": False,
            "job": self.job,
            "job_count": self.job_count,
            "job_timestamp": self.job_timestamp,
            "job_no": self.job_no,
            "sampling_step": self.sampling_step,
            "sampling_steps": self.sampling_steps,
        }
