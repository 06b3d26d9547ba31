"""What can be made to go wrong in the fake WebUI."""

from __future__ import annotations

from enum import StrEnum


class Fault(StrEnum):
    """One mishap of one request. Those that crash do so after the job's steps."""

    OOM = "oom"
    """500 OutOfMemoryError."""
    OOM_IN_TEXT = "oom-in-text"
    """500 RuntimeError whose message says CUDA out of memory."""
    NAN = "nan"
    """500 NansException."""
    CRASH = "crash"
    """500 RuntimeError; Forge then closes the connection without saying so."""
    UNAUTHORIZED = "unauthorized"
    STARTING = "starting"
    """404, as before the API's routes exist."""

    HANG = "hang"
    """No answer until the server stops."""
    DROP_BEFORE_READING = "drop-before-reading"
    DROP_AT_WORK = "drop-at-work"
    """No answer: the connection is reset after 0.6 s, as by a process that dies of its job."""
    DROP_MID_ANSWER = "drop-mid-answer"
    TRICKLE = "trickle"
    """An answer byte by byte, one each tenth of a second."""
    RESET_WHEN_REUSED = "reset-when-reused"
    """A proper answer, but the connection is reset when its next request comes."""

    TRUNCATED_PNG = "truncated-png"
    NOT_A_PICTURE = "not-a-picture"
    BAD_BASE64 = "bad-base64"
    WRONG_SIZE = "wrong-size"
    TOO_FEW_IMAGES = "too-few-images"
    TOO_FEW_SEEDS = "too-few-seeds"
    GRID_FIRST = "grid-first"
    DETECTION_MAPS = "detection-maps"
    WRONG_CHECKPOINT = "wrong-checkpoint"
    WRONG_SAMPLER = "wrong-sampler"
    NO_IMAGES_KEY = "no-images-key"
    NO_INFO_KEY = "no-info-key"
    INFO_NOT_JSON = "info-not-json"
    NAN_IN_INFO = "nan-in-info"
    """An all-black picture and bare NaN in `info`."""
    NOT_JSON = "not-json"
    HUGE_ANSWER = "huge-answer"
    """64 MiB and more."""
    SETS_A_COOKIE = "sets-a-cookie"
    """A proper answer, through a balancer that wants its clients back."""
    REDIRECT = "redirect"
