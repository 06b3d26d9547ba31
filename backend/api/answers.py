"""What callers are told: one pydantic model for each answer."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from ai.generation import Kind
from backend.jobs.records import Status


class ImageAnswer(BaseModel):
    """One picture made."""

    image_id: str | None = Field(description="null when it could not be stored")
    image_url: str | None = Field(description="Path of the image; null when it could not be stored")
    image_base64: str | None = Field(
        None,
        description="data URI; left out for response_format url, null in a replayed answer whose "
        "image is no longer kept",
    )
    seed: int


class GenerationAnswer(ImageAnswer):
    """What a generation answers; the first picture stands at the top."""

    processing_time: float = Field(description="Seconds from the request's arrival")
    model: str | None = Field(description="Checkpoint really used")
    device: Literal["cuda", "cpu"]
    engine: str
    attempts: int = Field(description="Engines it took")
    cached: bool = Field(description="Made for an earlier request that asked for the same")
    parameters: dict[str, object] = Field(description="What was really used")
    degraded: list[str] | None = Field(
        None, description="Fields in which a stand-in gave less than was asked"
    )
    warnings: list[str] | None = None
    images: list[ImageAnswer] | None = Field(None, description="Each picture, for batch_size > 1")


class JobUrls(BaseModel):
    self: str
    events: str
    cancel: str


class AcceptedAnswer(BaseModel):
    """A job that nobody waits for."""

    job_id: str
    status: Status
    urls: JobUrls


class JobError(BaseModel):
    code: str
    message: str


class WebhookAnswer(BaseModel):
    """How the delivery of a webhook stands."""

    url: str
    state: Literal["pending", "delivered", "failed"]
    tries: int
    next_try_at: datetime | None
    last_status: int | None
    last_error: str | None
    delivered_at: datetime | None


class JobAnswer(AcceptedAnswer):
    """A job. What it made stands there once it succeeded, `error` once it failed."""

    kind: Kind
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    runs: int = Field(description="How often it was started; more than once after a restart")
    attempts: int
    engine: str | None
    progress: float = Field(description="0 to 1")
    position: int | None = Field(None, description="In the queue, 1 for the next")
    eta_s: float | None = None
    step: int | None = None
    images: list[ImageAnswer] | None = None
    model: str | None = None
    device: Literal["cuda", "cpu"] | None = None
    cached: bool | None = None
    parameters: dict[str, object] | None = None
    timings: dict[str, float] | None = None
    error: JobError | None = None
    webhook: WebhookAnswer | None = None


class JobsAnswer(BaseModel):
    jobs: list[JobAnswer]
    next_cursor: str | None


class FieldProblem(BaseModel):
    field: str
    message: str


class ProblemAnswer(BaseModel):
    """RFC 9457 problem details, with `error` for clients that look for that."""

    type: str
    title: str
    status: int
    detail: str
    error: str = Field(description="The same text as detail")
    code: str
    request_id: str
    errors: list[FieldProblem] | None = None
    job_id: str | None = Field(None, description="The job that goes on all the same")
    urls: dict[str, str] | None = Field(None, description="Where that job is told of")


class ModelAnswer(BaseModel):
    name: str
    title: str
    hash: str | None
    engines: list[str] = Field(description="Engines that have it")
    loaded_on: list[str] = Field(description="Engines that have it in memory")
    devices: list[Literal["cuda", "cpu"]]


class ModelsAnswer(BaseModel):
    models: list[ModelAnswer]
    default: str | None = Field(
        description="Taken where a request names none: SD_MODEL, or what the key allows"
    )


class SamplerAnswer(BaseModel):
    name: str
    aliases: list[str]


class SamplersAnswer(BaseModel):
    samplers: list[SamplerAnswer]
    schedulers: list[str]
