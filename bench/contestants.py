"""Who is compared: each a front door that listens, and how it is asked for a picture."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
import requests

from bench import dialects
from bench.load import Request
from bench.nginx import limited_proxy
from bench.processes import serving
from bench.upstream import Upstream
from tests.running import ROOT, Sluice, free_port, running_redis, running_sluice

DIRECT, NGINX, LITELLM, PLAIN = "direct", "nginx", "LiteLLM", "plain Flask"
BARE = "bare Flask"
SLUICE, SLUICE_SDAPI, SLUICE_OPENAI = "Sluice", "Sluice /sdapi", "Sluice /v1"

MOST_CONNECTIONS = 512
SLUICE_SETTINGS = {
    "THREADS": str(MOST_CONNECTIONS + 88),
    "TRUSTED_PROXIES": "1",
    "SD_WEBUI_CONCURRENCY": "64",
    "MAX_QUEUE": "2000",
    "MAX_QUEUE_PER_CALLER": "2000",
    "RATELIMIT_GLOBAL": "1000000/minute",
    "RATELIMIT_GENERATION": "1000000/minute",
    "RATELIMIT_IMAGES": "1000000/minute",
    "CPU_FALLBACK": "false",
}
"""Everything on, with limits that count every request and refuse none."""

LITELLM_PYTHON = ROOT / ".venv-litellm/bin/python"
_LITELLM_KEY = "sk-bench"
_LITELLM_MODEL = "sd"
_LITELLM_CONFIG = {
    "model_list": [
        {
            "model_name": _LITELLM_MODEL,
            "litellm_params": {
                "model": "openai/dall-e-3",
                "api_base": "{api_base}",
                "api_key": "none",
            },
            "model_info": {"mode": "image_generation"},
        }
    ],
    "general_settings": {"master_key": _LITELLM_KEY},
    "litellm_settings": {"telemetry": False, "num_retries": 0},
}


@dataclass(frozen=True)
class Contestant:
    """`name` listens on `port`; `pid` and all below it are what it costs.

    Given more than `most_connections` at a time it would be busy for minutes.
    """

    name: str
    port: int
    pid: int
    text_to_image: dialects.TextToImage
    most_connections: int = MOST_CONNECTIONS


@contextmanager
def direct(upstream: Upstream) -> Iterator[list[Contestant]]:
    yield [Contestant(DIRECT, upstream.port, upstream.pid, dialects.webui)]


@contextmanager
def nginx_proxy(upstream: Upstream, folder: Path) -> Iterator[list[Contestant]]:
    with limited_proxy(folder / "nginx", upstream.port) as (port, pid):
        yield [Contestant(NGINX, port, pid, dialects.webui)]


@contextmanager
def plain_flask(
    upstream: Upstream, folder: Path, env: Mapping[str, str] | None = None
) -> Iterator[list[Contestant]]:
    """What most people write; `env` beside its own."""
    with _flask("plain_flask", upstream, folder, env or {}) as (port, pid):
        yield [Contestant(PLAIN, port, pid, dialects.ours, most_connections=64)]


@contextmanager
def bare_flask(upstream: Upstream, folder: Path) -> Iterator[list[Contestant]]:
    """Nothing but the picture kept; of few at a time, for the disk's sake."""
    with _flask("bare_flask", upstream, folder, {}) as (port, pid):
        yield [Contestant(BARE, port, pid, dialects.webui, most_connections=8)]


@contextmanager
def litellm(
    upstream: Upstream, folder: Path, env: Mapping[str, str] | None = None
) -> Iterator[list[Contestant]]:
    """Its proxy, with a key and an OpenAI-shaped upstream; nobody when it is not installed."""
    if not LITELLM_PYTHON.exists():
        yield []
        return
    port, config = free_port(), folder / "litellm.json"
    text = orjson.dumps(_LITELLM_CONFIG).decode()
    config.write_text(text.replace("{api_base}", f"{upstream.url}/v1"))
    command = [
        *(str(LITELLM_PYTHON.with_name("litellm")), "--config", str(config)),
        *("--host", "127.0.0.1", "--port", str(port)),
    ]
    # It fetches prices from the internet otherwise, and gets a home with nothing in it.
    environ = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "HOME": str(folder), **(env or {})}
    with serving(command, port, folder / "litellm.log", environ) as pid:
        yield [Contestant(LITELLM, port, pid, _asked_of_litellm)]


@contextmanager
def sluice(
    upstream: Upstream, folder: Path, env: Mapping[str, str] | None = None
) -> Iterator[list[Contestant]]:
    """Everything on; its own API, and each other door that answers."""
    settings = {"SD_WEBUI_URL": upstream.url, **(env or {})}
    with sluice_with_redis(folder / "sluice", settings) as served:
        pid = served.process.pid
        doors = {
            SLUICE: dialects.ours,
            SLUICE_SDAPI: dialects.webui,
            SLUICE_OPENAI: dialects.openai,
        }
        found = [Contestant(name, served.port, pid, asked) for name, asked in doors.items()]
        yield [each for each in found if answers(each.port, each.text_to_image(512))]


@contextmanager
def sluice_with_redis(folder: Path, env: Mapping[str, str]) -> Iterator[Sluice]:
    """Sluice as it is measured: `SLUICE_SETTINGS`, limits in Redis, `env` over both."""
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        redis_url, _ = stack.enter_context(running_redis(folder))
        settings = {**SLUICE_SETTINGS, "REDIS_URL": redis_url, **env}
        yield stack.enter_context(running_sluice(folder, settings))


def answers(port: int, request: Request) -> bool:
    """Whether it answers that with a picture; says so when it refuses for all it has the route."""
    answer = requests.request(
        request.method,
        f"http://127.0.0.1:{port}{request.path}",
        data=request.body,
        headers=dict(request.headers),
        timeout=60,
    )
    if answer.status_code not in (200, 404, 405):
        print(f"{request.path} answers {answer.status_code} and is left out: {answer.text[:300]}")
    return answer.status_code == 200


@contextmanager
def _flask(
    name: str, upstream: Upstream, folder: Path, env: Mapping[str, str]
) -> Iterator[tuple[int, int]]:
    """Under gunicorn with threads, as its documentation has it; yields its port and process id."""
    port, images = free_port(), folder / f"{name}-images"
    images.mkdir()
    command = [
        *(sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}"),
        *("--worker-class", "gthread", "--threads", "8", "--config", "/dev/null"),
        f"bench.rivals.{name}:app",
    ]
    environ = {"UPSTREAM": upstream.url, "IMAGES": str(images), **env}
    with serving(command, port, folder / f"{name}.log", environ) as pid:
        yield port, pid


def _asked_of_litellm(side: int) -> Request:
    request = dialects.openai(side, model=_LITELLM_MODEL)
    headers = {**request.headers, "Authorization": f"Bearer {_LITELLM_KEY}"}
    return Request(request.path, request.body, headers=headers)
