"""The embedded engine: diffusion on the CPU, in this process, by OpenVINO."""

from __future__ import annotations

import logging
import threading
import time
from functools import cached_property
from pathlib import Path
from typing import Literal

from PIL import Image

from ai.engines.base import Device, EngineFacts, Tier
from ai.engines.openvino.answer import answer, seeds
from ai.engines.openvino.canvas import Sketch, sketch
from ai.engines.openvino.folder import DiffusionFolder, read_folder
from ai.engines.openvino.lora import LoraFolder
from ai.engines.openvino.order import Order, take_order
from ai.engines.openvino.run import Run
from ai.engines.openvino.weights import Weights
from ai.errors import (
    EngineFailed,
    EngineOutOfMemory,
    EngineTimeout,
    EngineUnavailable,
    InvalidRequest,
    UnsupportedRequest,
)
from ai.generation import Generation, GenerationRequest, Progress

log = logging.getLogger(__name__)

Precision = Literal["auto", "f32"]


class OpenVinoEngine:
    """Paints with the checkpoint in an OpenVINO diffusion folder, one request at a time.

    Any folder openvino-genai loads will do: SD 1.5, SDXL, LCM, SD3, FLUX. The weights are
    loaded by the first `describe` or `generate`, and anew for each other set of LoRAs, so
    that a picture depends on its request alone.

    checkpoint_name: what callers call it; the folder's name by default.
    threads: cores at most; 0, the default, is all. Pictures differ by a few levels of
        brightness between one number of threads and another.
    precision: "auto" calculates in bf16 where the CPU has that, "f32" alike everywhere.
    cache_dir: where to keep compiled weights, which halves the time to load them.
    lora_dir: where `<lora:name:weight>` is looked up, as `<name>.safetensors`.
    """

    tier: Tier = "cpu"
    device: Device = "cpu"
    concurrency = 1

    def __init__(
        self,
        folder: Path,
        *,
        checkpoint_name: str | None = None,
        name: str = "embedded",
        threads: int = 0,
        precision: Precision = "auto",
        cache_dir: Path | None = None,
        lora_dir: Path | None = None,
    ) -> None:
        self.name = name
        self._path = folder
        self._checkpoint_name = checkpoint_name or folder.resolve().name
        self._properties: dict[str, object] = {}
        if threads:
            self._properties["INFERENCE_NUM_THREADS"] = threads
        if precision != "auto":
            self._properties["INFERENCE_PRECISION_HINT"] = precision
        self._cache_dir = cache_dir
        self._loras = LoraFolder(lora_dir)
        self._loading = threading.Lock()
        self._painting = threading.Lock()
        self._weights: Weights | None = None
        self._facts: EngineFacts | None = None
        self._running: Run | None = None
        self._closed = False

    def describe(self) -> EngineFacts:
        """What it has; loads the weights the first time. Raises EngineUnavailable."""
        if self._facts is None:
            kinds = self._weights_with(frozenset()).kinds
            checkpoint = self._folder.checkpoint
            self._facts = EngineFacts(
                checkpoints=(checkpoint,),
                samplers=self._folder.samplers,
                loaded=checkpoint.name,
                kinds=kinds,
            )
        return self._facts

    def generate(
        self, request: GenerationRequest, *, timeout_s: float, stand_in: bool = False
    ) -> Generation:
        """Make the images, within a step of `timeout_s` seconds, loading included.

        With `stand_in` a checkpoint, scheduler or LoRA it lacks is done without as well.
        Raises InvalidRequest, EngineUnavailable, EngineTimeout, EngineFailed or
        GenerationCanceled.
        """
        deadline = time.monotonic() + timeout_s
        run = Run(
            self.name, images=request.image_count, steps=request.effective_steps, deadline=deadline
        )
        if not self._painting.acquire(timeout=min(max(0.0, timeout_s), threading.TIMEOUT_MAX)):
            raise EngineTimeout(self.name, f"{self.name} was busy with another request all along.")
        try:
            self._running = run
            return self._generate(request.with_seed(), run, stand_in=stand_in)
        finally:
            self._running = None
            self._painting.release()

    def interrupt(self) -> None:
        run = self._running
        if run is not None:
            run.cancel()

    def progress(self, *, preview: bool = False) -> Progress | None:
        """How far it is; a preview is a JPEG, there a step after it was first asked for."""
        run = self._running
        return run.progress(preview=preview) if run is not None else None

    def close(self) -> None:
        """Stop what is running and give back the memory; it serves nothing afterwards."""
        self._closed = True
        self.interrupt()
        self._weights = None

    def _generate(self, request: GenerationRequest, run: Run, *, stand_in: bool) -> Generation:
        order = take_order(request, self._folder, self._loras, stand_in=stand_in)
        layout = sketch(request, size_step=self._folder.size_step, cell=self._folder.vae_factor)
        try:
            pictures = self._paint(order, layout, run)
        except _LorasDoNotFit:
            if not stand_in:
                raise InvalidRequest("prompt", "a LoRA it names does not fit this model") from None
            order = order.without_loras()
            pictures = self._paint(order, layout, run)
        return answer(order, pictures, self._folder.checkpoint)

    def _paint(self, order: Order, layout: Sketch, run: Run) -> list[Image.Image]:
        weights = self._weights_with(frozenset(lora.path for lora in order.loras))
        kind = order.request.kind
        if kind not in weights.kinds:
            raise UnsupportedRequest("model", f"{self._checkpoint_name} does no {kind}")
        after_step = run.callback(lambda latent: weights.preview(kind, latent))
        pictures = []
        for image, seed in enumerate(seeds(order.request)):
            run.begin_image(image)
            try:
                made = weights.paint(order, layout, seed, after_step)
            except Exception as error:
                raise self._failure(error, order) from error
            run.raise_if_stopped()
            if made is None:
                raise EngineFailed(self.name, f"{self.name} made no picture.")
            pictures.append(layout.finish(made))
        return pictures

    def _failure(self, error: Exception, order: Order) -> Exception:
        """What a failure in the library means. The weights go with it: they may be broken."""
        self._weights = None
        log.warning("painting failed", extra={"engine": self.name, "error": type(error).__name__})
        if isinstance(error, MemoryError) or "alloc" in str(error):
            return EngineOutOfMemory(self.name, f"{self.name} ran out of memory.")
        if order.loras:
            return _LorasDoNotFit()
        return EngineFailed(self.name, f"{self.name} failed while it painted.")

    def _weights_with(self, loras: frozenset[Path]) -> Weights:
        """The weights loaded with exactly these LoRAs; loaded now where they are not."""
        with self._loading:
            if self._closed:
                raise EngineUnavailable(self.name, f"{self.name} is closed.")
            if self._weights is not None and self._weights.loras == loras:
                return self._weights
            self._weights = None  # Two copies may be more than the memory holds.
            started_at = time.monotonic()
            try:
                weights = Weights(self._folder, self._properties_for(loras), loras)
            except (RuntimeError, MemoryError, ImportError) as error:
                raise self._load_failure(error, loras) from error
            seconds = round(time.monotonic() - started_at, 3)
            log.info("weights loaded", extra={"engine": self.name, "seconds": seconds})
            self._weights = weights
            return weights

    def _load_failure(self, error: Exception, loras: frozenset[Path]) -> Exception:
        log.warning("loading failed", extra={"engine": self.name, "error": type(error).__name__})
        if loras:
            return _LorasDoNotFit()
        return EngineUnavailable(self.name, f"{self.name} cannot load its model.")

    def _properties_for(self, loras: frozenset[Path]) -> dict[str, object]:
        """Weights with LoRAs are not cached: every set of them would be a copy of the whole."""
        if self._cache_dir is None or loras:
            return self._properties
        try:
            self._cache_dir.mkdir(parents=True, exist_ok=True)
        except OSError:
            log.warning("cache unusable", extra={"engine": self.name})
            return self._properties
        return {**self._properties, "CACHE_DIR": str(self._cache_dir)}

    @cached_property
    def _folder(self) -> DiffusionFolder:
        try:
            return read_folder(self._path, self._checkpoint_name)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EngineUnavailable(
                self.name,
                f"{self.name} has no OpenVINO diffusion model in the folder it was given.",
            ) from error


class _LorasDoNotFit(Exception):
    """The checkpoint and the LoRAs do not go together."""
