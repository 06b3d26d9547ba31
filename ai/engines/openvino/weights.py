"""One loaded set of OpenVINO weights, and painting with it.

What openvino-genai 2026.4 wants or gets wrong is kept from the rest here.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ai.engines.openvino.canvas import Pixels, Sketch
from ai.engines.openvino.folder import DiffusionFolder
from ai.engines.openvino.order import Order
from ai.generation import Img2Img, Kind

_SETTLING_SIDE = 128
"""Pixels. When the first picture is of 64x64, a single cell where the UNet is deepest, all of
256x256 and more are noise from then on, in every process and precision."""

_INPUTS: Mapping[Kind, int] = {"txt2img": 0, "img2img": 1, "inpainting": 2}
"""How many pictures a kind is given: none, one, or one and its mask."""

_PREVIEW_SIDE = 256
"""Pixels of a preview's longer side."""


class Weights:
    """The pipelines over one copy of the weights in `folder`.

    `properties` are the library's for its CPU device, `loras` the files that orders will
    name: a LoRA not announced here cannot be added later. Not safe for two threads at once,
    which would silently get each other's pictures. Raises RuntimeError when it does not load.
    """

    def __init__(
        self, folder: DiffusionFolder, properties: Mapping[str, object], loras: Iterable[Path]
    ) -> None:
        # It counts who uses it, by an id in ~/intel, for its makers; without this it does not.
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
        # Imported late: it takes 0.3 s and 40 MB, which a gateway to GPUs need not pay.
        import openvino
        import openvino_genai

        self._tensor: Any = openvino.Tensor
        self._genai: Any = openvino_genai
        self._folder = folder
        self.loras = frozenset(loras)
        if self.loras:
            announced = self._adapters((path, 1) for path in sorted(self.loras))
            properties = {**properties, "adapters": announced}
        self._pipelines = self._load(properties)
        self._is_settled = False

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds of generation these weights can do."""
        return frozenset(self._pipelines)

    def paint(
        self, order: Order, sketch: Sketch, seed: int, after_step: Callable[[int, int, Any], bool]
    ) -> Pixels | None:
        """(full_height, full_width, 3), or None where `after_step` stopped it.

        Raises RuntimeError, MemoryError or whatever else the library finds.
        """
        self._settle(order, sketch)
        pipeline = self._pipelines[order.request.kind]
        options = self._options(order, sketch, seed) | {"callback": after_step}
        sampler_type = self._folder.sampler_types.get(order.sampler)
        if sampler_type is not None:
            # A new one for each picture: a used one remembers.
            scheduler = self._genai.Scheduler
            named = getattr(scheduler.Type, sampler_type)
            pipeline.set_scheduler(scheduler.from_config(self._folder.scheduler_config, named))
        inputs = [self._tensor(pixels[None]) for pixels in _inputs(sketch)]
        made = np.array(pipeline.generate(order.prompt, *inputs, **options).data)
        return made[0] if made.ndim == 4 else None

    def preview(self, kind: Kind, latent: Any) -> bytes:
        """A JPEG of what the latent shows, at most 256 pixels a side where it can be thinned."""
        cells = np.asarray(latent.data)
        if cells.ndim == 4:
            side = max(cells.shape[2:]) * self._folder.vae_factor
            thinned = -(-side // _PREVIEW_SIDE)
            cells = np.ascontiguousarray(cells[:, :, ::thinned, ::thinned])
        pixels = np.array(self._pipelines[kind].decode(self._tensor(cells)).data)
        buffer = io.BytesIO()
        Image.fromarray(pixels[0]).save(buffer, "JPEG")
        return buffer.getvalue()

    def _load(self, properties: Mapping[str, object]) -> dict[Kind, Any]:
        """The pipelines by kind: the first that loads, and those derived from it at no cost."""
        genai, path = self._genai, self._folder.path
        families: dict[Kind, Any] = {
            "inpainting": genai.InpaintingPipeline,
            "img2img": genai.Image2ImagePipeline,
            "txt2img": genai.Text2ImagePipeline,
        }
        loaded: dict[Kind, Any] = {}
        failure: RuntimeError | None = None
        for kind in [kind for kind in families if kind in self._folder.kinds]:
            pipeline = families[kind]
            try:
                if loaded:
                    loaded[kind] = pipeline(next(iter(loaded.values())))
                else:
                    loaded[kind] = pipeline(path, "CPU", **properties)
            # Some weights lack some kinds, and say so like this.
            except RuntimeError as error:
                failure = error
        if not loaded:
            raise RuntimeError("no pipeline loads") from failure
        return loaded

    def _settle(self, order: Order, sketch: Sketch) -> None:
        """Throw one picture away first, where the first asked for is too small to be that."""
        side, kind = _SETTLING_SIDE, order.request.kind
        is_small = max(sketch.canvas.full_width, sketch.canvas.full_height) < side
        if is_small and not self._is_settled:
            blank = [np.zeros((1, side, side, depth), np.uint8) for depth in (3, 1)]
            inputs = [self._tensor(pixels) for pixels in blank[: _INPUTS[kind]]]
            options = {"strength": 1.0} if inputs else {}
            options |= {"width": side, "height": side, "num_inference_steps": 1}
            self._pipelines[kind].generate(order.prompt, *inputs, **options)
        self._is_settled = True

    def _options(self, order: Order, sketch: Sketch, seed: int) -> dict[str, object]:
        request = order.request
        options: dict[str, object] = {
            "width": sketch.canvas.full_width,
            "height": sketch.canvas.full_height,
            "num_inference_steps": request.steps,
            "guidance_scale": float(order.cfg_scale),
            "rng_seed": seed,
        }
        if order.negative_prompt is not None:
            options["negative_prompt"] = order.negative_prompt
        if self.loras:
            options["adapters"] = self._adapters((lora.path, lora.weight) for lora in order.loras)
        if isinstance(request, Img2Img):
            options |= self._strength(order.sampler, request)
        return options

    def _strength(self, sampler: str, request: Img2Img) -> dict[str, object]:
        """How the library is told to take the steps that the request comes to, and no others.

        It rounds steps x strength down and fails at none; half a step more is safe. Its LCM
        takes all the steps it is told within that strength, and reads past the end of a list
        when strength comes to less than one of the steps it was distilled from.
        """
        steps, strength = request.effective_steps, request.denoising_strength
        if sampler == "LCM":
            least = 1.5 / self._folder.lcm_steps
            return {"num_inference_steps": steps, "strength": min(1.0, max(least, strength))}
        return {"strength": min(1.0, (steps + 0.5) / request.steps)}

    def _adapters(self, loras: Iterable[tuple[Path, float]]) -> Any:
        """Opened anew each time: weights changed on adapters it knows are half ignored."""
        genai = self._genai
        return genai.AdapterConfig([(genai.Adapter(path), weight) for path, weight in loras])


def _inputs(sketch: Sketch) -> list[Pixels]:
    inputs = []
    if sketch.image is not None:
        inputs.append(sketch.image)
    if sketch.mask is not None:
        inputs.append(sketch.mask[..., None])
    return inputs
