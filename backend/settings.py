"""The only reader of the environment. Names are those people know from the WebUI's world."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from ai.generation import SIZE_STEP
from backend.listening import is_of_this_machine
from backend.setting_types import (
    BrokerUrl,
    CpuFallback,
    DatabaseUrl,
    PublicUrl,
    RateLimits,
    RedisUrl,
    Seconds,
    WebhookSecret,
    WebUIUrls,
)

MEBIBYTE = 2**20
LOCAL_WEBUI_URL = "http://localhost:7860"
"""Where a WebUI listens unless told otherwise; tried when SD_WEBUI_URL is not set."""


class Settings(BaseSettings):
    """Each field is the environment variable of its name in capitals; a .env file is read.

    Raises pydantic.ValidationError naming each wrong variable.
    """

    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(5002, ge=0, le=65535, description="Port to listen on")
    threads: int = Field(
        256,
        ge=4,
        le=2000,
        description="Requests served at once; all but 16 may wait for a generation or watch one",
    )
    web_workers: int = Field(
        1, ge=1, le=256, description="Web processes; more only with CELERY_BROKER_URL"
    )
    trusted_proxies: int = Field(
        0, ge=0, le=10, description="How many proxies in front set X-Forwarded-For and -Proto"
    )
    data_dir: Path = Field(Path("data"), description="Where images and caches are kept")

    auth: Literal["off", "keys", "open"] = Field(
        "off",
        validate_default=True,
        description="keys: an API key is needed; off: none is, and HOST must be of this machine; "
        "open: none is, whoever reaches HOST",
    )
    api_key: SecretStr | None = Field(
        None,
        min_length=16,
        max_length=200,
        description="One key that may generate and read, beside those of `python -m backend keys`",
    )

    sd_webui_url: WebUIUrls | None = Field(
        None,
        description="WebUIs with a GPU, comma-separated, `http://user:pass@host:7860` for "
        "--api-auth; unset: localhost:7860 if it answers; `none`: do not look for one",
    )
    sd_webui_cpu_url: WebUIUrls = Field(
        (), description="WebUIs without a GPU, used as the CPU tier"
    )
    sd_webui_concurrency: int = Field(
        1, ge=1, le=1000, description="Requests in flight per WebUI; more only for a balancer"
    )
    sd_model: str | None = Field(
        None, max_length=500, description="Checkpoint when a request names none; unset: the loaded"
    )
    use_gpu: bool = Field(True, description="false: the CPU tier alone")
    cpu_fallback: CpuFallback = Field(
        "true",
        description="CPU engines stand in when no GPU can serve; `overflow`: also when the wait "
        "would be longer than the CPU's own time",
    )
    webui_connect_timeout_s: Seconds = Field(3.0, description="To reach a WebUI")
    webui_read_timeout_s: Seconds = Field(600.0, description="For one generation by an engine")
    sd_cpu_model: Path | None = Field(
        None, description="OpenVINO diffusion folder for the embedded engine; unset: the demo"
    )
    sd_cpu_lora_dir: Path | None = Field(
        None, description="Folder of .safetensors that `<lora:name:weight>` may name there"
    )
    embedded_threads: int = Field(
        0, ge=0, le=512, description="Cores the embedded engine uses; 0: all of them"
    )
    embedded_precision: Literal["auto", "f32"] = Field(
        "auto",
        description="f32: the same pixels on every CPU that uses as many threads; auto: bf16 where "
        "that is faster",
    )

    max_queue: int = Field(100, ge=0, le=100_000, description="Requests that may wait in all")
    max_queue_per_caller: int = Field(50, ge=0, le=100_000, description="Likewise for one caller")
    queue_timeout_s: Seconds = Field(300.0, description="Time to start, then 504")
    request_deadline_s: Seconds = Field(900.0, description="Time to finish, then 504")
    max_retries: int = Field(2, ge=0, le=10, description="Other engines tried after a failure")

    database_url: DatabaseUrl | None = Field(
        None, description="PostgreSQL that keeps the jobs; unset: SQLite in DATA_DIR"
    )
    grace_s: Seconds = Field(30.0, description="When stopped: for running jobs to end")
    job_ttl: Seconds = Field(7 * 86400.0, description="Seconds an ended job can be asked for")

    result_cache: bool = Field(
        True, description="off: the same request with the same seed is made anew each time"
    )

    redis_url: RedisUrl | None = Field(
        None, description="Keeps the limits, exact across processes; unset: this process's memory"
    )
    celery_broker_url: BrokerUrl | None = Field(
        None,
        description="Workers make the images, woken through this broker (`redis://`, `amqp://`, "
        "`sqs://`); unset: this process does",
    )
    worker_name: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,60}$",
        description="Begins the names of a worker's engines; unset: its host's",
    )
    worker_ahead: int = Field(
        1, ge=0, le=1000, description="Jobs a worker may have waiting for its engines"
    )
    worker_lease_s: float = Field(
        15.0, ge=1, le=600, description="Until the jobs of a worker that died are another's"
    )
    ratelimit_enabled: bool = Field(
        True,
        description="false: requests are not limited; wrong keys, work and jobs at once still are",
    )
    ratelimit_global: RateLimits = Field(
        "50/minute;500/hour",
        description="Each caller, all routes but images, jobs, health, metrics",
    )
    ratelimit_generation: RateLimits = Field(
        "10/minute", description="Each caller, the three POSTs"
    )
    ratelimit_images: RateLimits = Field("600/minute", description="Each caller, GET of images")
    ratelimit_jobs: RateLimits = Field("600/minute", description="Each caller, asking for jobs")
    ratelimit_wrong_keys: RateLimits = Field(
        "20/minute", description="Each address, wrong API keys"
    )

    accel_prefix: str | None = Field(
        None,
        pattern="^(/[A-Za-z0-9_-]+)+$",
        max_length=100,
        description="nginx's internal location over DATA_DIR, `/kept` in deploy/nginx: nginx sends "
        "the images (X-Accel-Redirect), whose files its group may then read; unset: Sluice does",
    )
    max_jobs_per_caller: int | None = Field(
        None, ge=1, le=100_000, description="Jobs queued or running at once; unset: no limit"
    )
    budget_hour: float | None = Field(
        None,
        gt=0,
        le=1e9,
        description="Each caller, megapixel-steps (width x height x steps x images / 1,000,000) "
        "within an hour; unset: no limit",
    )
    budget_day: float | None = Field(None, gt=0, le=1e9, description="Likewise within a day")

    image_cache_bytes: int = Field(
        2048 * MEBIBYTE, ge=MEBIBYTE, description="Disk for images; least recently used go first"
    )
    image_ttl: Seconds = Field(7 * 86400.0, description="Seconds an image is kept at most")
    max_image_bytes: int = Field(
        16 * MEBIBYTE, ge=1024, le=256 * MEBIBYTE, description="Size of one uploaded picture"
    )
    max_input_pixels: int = Field(
        2**25, ge=4096, le=2**26, description="Pixels of one uploaded picture"
    )

    allow_url_images: bool = Field(
        False, description="Pictures may be sent as https URLs, which are then fetched"
    )

    max_pixels: int = Field(2**22, ge=4096, le=2**26, description="width x height of a result")
    min_size: int = Field(64, ge=8, le=2048, description="Smallest width and height")
    max_size: int = Field(2048, ge=64, le=16384, description="Largest width and height")
    max_steps: int = Field(150, ge=1, le=10_000, description="Most denoising steps")
    max_cfg_scale: float = Field(30.0, ge=1, le=1000, description="Largest cfg_scale")
    max_batch_size: int = Field(4, ge=1, le=64, description="Most images in one request")
    max_prompt_chars: int = Field(
        4000, ge=1, le=100_000, description="Longest prompt and negative prompt"
    )

    webhook_secret: WebhookSecret | None = Field(
        None, description="`whsec_` and base64 of 24 to 64 bytes: signs webhooks; unset: none sent"
    )
    public_url: PublicUrl | None = Field(
        None,
        description="Where callers reach this, `https://host`: before the paths in webhooks",
    )
    allow_http_webhooks: bool = Field(False, description="webhook_url may be http:// too")
    allow_private_webhooks: bool = Field(
        False, description="webhook_url may be on this machine or its private networks"
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Log from")
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto: readable on a terminal, JSON elsewhere"
    )
    log_prompts: bool = Field(False, description="true: the prompt stands in the request's line")
    prometheus_multiproc_dir: Path | None = Field(
        None,
        description="Folder through which several web processes show one /metrics: needed with "
        "WEB_WORKERS above 1; to be set in the environment, not in .env",
    )
    metrics_host: str = Field("127.0.0.1", description="Address of a worker's /metrics")
    metrics_port: int = Field(
        9540, ge=0, le=65535, description="Port of a worker's /metrics; 0: it has none"
    )
    otel_exporter_otlp_endpoint: str | None = Field(
        None,
        max_length=500,
        description="OpenTelemetry collector, `http://host:4318`: traces go there; unset: none",
    )

    @field_validator("auth")
    @classmethod
    def _closed_beyond_this_machine(cls, auth: str, info: ValidationInfo) -> str:
        if auth == "off" and not is_of_this_machine(info.data.get("host", "")):
            raise ValueError(
                "HOST can be reached from elsewhere: set AUTH=keys and make a key with "
                "`python -m backend keys create NAME`, or AUTH=open to let everybody in"
            )
        return auth

    @field_validator("api_key")
    @classmethod
    def _asked_for(cls, key: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if key is not None and info.data.get("auth", "keys") != "keys":
            raise ValueError("is not asked for unless AUTH=keys is set too")
        return key

    @property
    def worker_threads(self) -> int:
        """How many jobs a worker's engines can be at work on."""
        gpu = 1 if self.sd_webui_url is None else len(self.sd_webui_url)
        return gpu * self.sd_webui_concurrency + len(self.sd_webui_cpu_url) + 1

    @model_validator(mode="after")
    def _scaled_out_whole(self) -> Settings:
        if self.celery_broker_url is None:
            if self.web_workers > 1:
                raise ValueError(
                    "WEB_WORKERS: several web processes cannot keep one request in flight per "
                    "WebUI; set CELERY_BROKER_URL and run workers, or one process and raise "
                    "THREADS"
                )
            return self
        if self.redis_url is None:
            raise ValueError("REDIS_URL must be set with CELERY_BROKER_URL: progress goes there")
        url = self.database_url.get_secret_value() if self.database_url else ""
        if not url.startswith("postgres"):
            raise ValueError(
                "DATABASE_URL must name a PostgreSQL with CELERY_BROKER_URL: web processes and "
                "workers share the jobs there"
            )
        return self

    @model_validator(mode="after")
    def _figures_of_all_processes(self) -> Settings:
        name = "PROMETHEUS_MULTIPROC_DIR"
        if self.prometheus_multiproc_dir is None and self.web_workers > 1:
            raise ValueError(
                f"{name} must name a folder with WEB_WORKERS above 1: /metrics would be of "
                "whichever process answers"
            )
        if self.prometheus_multiproc_dir is not None and name not in os.environ:
            raise ValueError(
                f"{name} must be set in the environment, not in .env, which prometheus_client "
                "does not read"
            )
        return self

    @model_validator(mode="after")
    def _sizes_agree(self) -> Settings:
        for name in ("min_size", "max_size"):
            if getattr(self, name) % SIZE_STEP:
                raise ValueError(f"{name.upper()} must be a multiple of {SIZE_STEP}")
        if self.min_size > self.max_size or self.min_size**2 > self.max_pixels:
            raise ValueError("MIN_SIZE must fit within MAX_SIZE and MAX_PIXELS")
        return self


def complaints(error: ValidationError) -> list[str]:
    """What is wrong with which setting, one line each, without the values."""
    return [
        f"{'.'.join(str(part) for part in item['loc']).upper() or 'settings'}: "
        f"{item['msg'].removeprefix('Value error, ')}"
        for item in error.errors(include_url=False, include_input=False)
    ]
