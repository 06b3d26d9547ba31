"""How fast engines are, learnt from what they did. Pure: durations in, estimates out."""

from __future__ import annotations

SECONDS_PER_WORK = 0.5
"""Before anything is measured: 512x512, 20 steps (5.2 megapixel-steps) in 2.6 s."""
SWITCH_S = 5.0
"""Before anything is measured: what loading another checkpoint takes."""
_WEIGHT = 0.3
"""Of the newest measurement in the running mean."""


class Pace:
    """Seconds for each megapixel-step, and for loading a checkpoint.

    What was not measured here is taken from `like`, the pace of all engines together.
    """

    __slots__ = ("_like", "_seconds_per_work", "_switch_s")

    def __init__(self, like: Pace | None = None) -> None:
        self._like = like
        self._seconds_per_work: float | None = None
        self._switch_s: float | None = None

    @property
    def seconds_per_work(self) -> float:
        if self._seconds_per_work is not None:
            return self._seconds_per_work
        return self._like.seconds_per_work if self._like else SECONDS_PER_WORK

    @property
    def switch_s(self) -> float:
        if self._switch_s is not None:
            return self._switch_s
        return self._like.switch_s if self._like else SWITCH_S

    def seconds_for(self, work: float) -> float:
        return work * self.seconds_per_work

    def learn(self, work: float, seconds: float, *, switched: bool) -> None:
        """Take in that `work` took `seconds`, loading its checkpoint first if `switched`."""
        if self._like is not None:
            self._like.learn(work, seconds, switched=switched)
        if switched:
            loading_s = max(0.0, seconds - self.seconds_for(work))
            self._switch_s = _blend(self._switch_s, loading_s)
        else:
            self._seconds_per_work = _blend(self._seconds_per_work, seconds / work)


def _blend(mean: float | None, newest: float) -> float:
    return newest if mean is None else mean + _WEIGHT * (newest - mean)
