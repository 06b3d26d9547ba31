"""The engines that the settings name, and how their pool is to treat them."""

from __future__ import annotations

from pathlib import Path

from ai.demo_model import CHECKPOINT_DIR, CHECKPOINT_NAME
from ai.engines.a1111.engine import A1111Engine
from ai.engines.base import Engine, Tier
from ai.engines.openvino.engine import OpenVinoEngine
from ai.errors import EngineError
from ai.pool import PoolPolicy
from ai.pool_values import CpuFallback
from backend.settings import LOCAL_WEBUI_URL, Settings

FALLBACKS: dict[str, CpuFallback] = {"true": "on", "false": "off", "overflow": "overflow"}
"""What CPU_FALLBACK says, in the pool's words."""


def build_engines(settings: Settings, prefix: str = "") -> list[Engine]:
    """The GPU tier's WebUIs, then the CPU tier's, then the embedded engine where it has a part.

    Their names begin with `prefix`.
    """
    gpu: list[Engine] = [*_gpu_webuis(settings, prefix)] if settings.use_gpu else []
    cpu: list[Engine] = [*_webuis(settings.sd_webui_cpu_url, "cpu", settings, prefix)]
    if settings.cpu_fallback != "false" or not (gpu or cpu):
        cpu.append(_embedded(settings, prefix))
    return gpu + cpu


def pool_policy(settings: Settings) -> PoolPolicy:
    return PoolPolicy(
        max_queue=settings.max_queue,
        max_queue_per_caller=settings.max_queue_per_caller,
        queue_timeout_s=settings.queue_timeout_s,
        engine_timeout_s=settings.webui_read_timeout_s,
        max_retries=settings.max_retries,
        cpu_fallback=FALLBACKS[settings.cpu_fallback],
    )


def _gpu_webuis(settings: Settings, prefix: str) -> list[A1111Engine]:
    if settings.sd_webui_url is not None:
        return _webuis(settings.sd_webui_url, "gpu", settings, prefix)
    local = _webui(LOCAL_WEBUI_URL, f"{prefix}webui", "gpu", settings)
    try:
        local.describe()
    except EngineError:
        local.close()
        return []
    return [local]


def _webuis(
    urls: tuple[str, ...], tier: Tier, settings: Settings, prefix: str
) -> list[A1111Engine]:
    stem = prefix + ("webui" if tier == "gpu" else "webui-cpu")
    names = [stem] if len(urls) == 1 else [f"{stem}-{n}" for n in range(1, len(urls) + 1)]
    return [_webui(url, name, tier, settings) for url, name in zip(urls, names, strict=True)]


def _webui(url: str, name: str, tier: Tier, settings: Settings) -> A1111Engine:
    return A1111Engine(
        url,
        name=name,
        tier=tier,
        device="cuda" if tier == "gpu" else "cpu",
        concurrency=settings.sd_webui_concurrency if tier == "gpu" else 1,
        connect_timeout_s=settings.webui_connect_timeout_s,
        read_timeout_s=settings.webui_read_timeout_s,
    )


def _embedded(settings: Settings, prefix: str) -> OpenVinoEngine:
    folder = settings.sd_cpu_model or CHECKPOINT_DIR
    name = CHECKPOINT_NAME if settings.sd_cpu_model is None else Path(folder).name
    return OpenVinoEngine(
        folder,
        name=f"{prefix}embedded",
        checkpoint_name=name,
        threads=settings.embedded_threads,
        precision=settings.embedded_precision,
        cache_dir=settings.data_dir / "openvino",
        lora_dir=settings.sd_cpu_lora_dir,
    )
