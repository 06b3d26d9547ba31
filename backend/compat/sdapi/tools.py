"""POST extra-single-image and interrogate, which wait their turn as generations do."""

from __future__ import annotations

from flask import Blueprint, Response, request

from ai.correlation import current
from ai.errors import GenerationCanceled
from ai.generation import Generation
from ai.images import read_picture
from ai.pictures import Picture
from ai.tools import CAPTION, Caption, Tool, Upscale
from backend.api.bodies import bytes_for
from backend.bounds import Bounds
from backend.callers import caller_of, departure
from backend.compat.sdapi.bodies import read_body
from backend.compat.sdapi.facts import Facts
from backend.compat.sdapi.render import json_answer
from backend.compat.sdapi.schemas import ExtraSingleImage, Interrogate, validated
from backend.compat.sdapi.unsupported import told_at_its_field
from backend.errors import FieldError, InvalidBody
from backend.generate import CALLER_CHECK_S
from backend.json_answers import Base64
from backend.services import Services

_INTERROGATORS = ("clip", "deepdanbooru")
_AS_SAID = {
    "upscaler_1",
    "upscaler_2",
    "extras_upscaler_2_visibility",
    "gfpgan_visibility",
    "codeformer_visibility",
    "codeformer_weight",
    "upscale_first",
}


def add_routes(routes: Blueprint, services: Services, facts: Facts) -> None:
    """The tools, counted as generations are."""
    desk = _Desk(services, facts)

    @routes.post("/extra-single-image")
    def extra_single_image() -> Response:
        return desk.enlarge()

    @routes.post("/interrogate")
    def interrogate() -> Response:
        return desk.describe()


class _Desk:
    def __init__(self, services: Services, facts: Facts) -> None:
        self._pool = services.pool
        self._seats = services.seats
        self._admission = services.admission
        self._facts = facts
        self._pictures = services.pictures
        self._bounds = Bounds.of(services.settings)
        self._deadline_s = services.settings.request_deadline_s
        self._max_bytes = bytes_for(1, services.settings.max_image_bytes)

    def enlarge(self) -> Response:
        body = validated(ExtraSingleImage, read_body(request, self._max_bytes))
        self._facts.require_upscaler(body.upscaler_1, "upscaler_1")
        self._facts.require_upscaler(body.upscaler_2, "upscaler_2")
        made = self._done(self._enlarging(body))
        return json_answer({"html_info": "", "image": Base64(made.images[0].base64)})

    def describe(self) -> Response:
        body = validated(Interrogate, read_body(request, self._max_bytes))
        if body.model not in _INTERROGATORS:
            raise InvalidBody([FieldError("model", f"must be one of {', '.join(_INTERROGATORS)}")])
        told = self._done(Caption(image=self._picture(body.image), model=body.model))
        return json_answer({"caption": told.parameters[CAPTION]})

    def _enlarging(self, body: ExtraSingleImage) -> Upscale:
        picture = self._picture(body.image)
        scale = body.upscaling_resize if body.resize_mode == 0 else None
        width, height = body.upscaling_resize_w, body.upscaling_resize_h
        if scale is not None:
            width, height = int(picture.width * scale), int(picture.height * scale)
        self._require_size(width, height, "upscaling_resize" + ("" if scale else "_w"))
        return Upscale(
            image=picture,
            width=width,
            height=height,
            scale=scale,
            crop=body.upscaling_crop,
            **body.model_dump(include=_AS_SAID),
        )

    def _require_size(self, width: int, height: int, field: str) -> None:
        """Enlarging may go as far as a caller's pictures may, in pixels."""
        limits = self._pictures.limits
        if width * height > limits.max_pixels or max(width, height) > limits.max_side:
            message = f"makes {width}x{height}; at most {limits.max_pixels:,} pixels are made"
            raise InvalidBody([FieldError(field, message)])

    def _picture(self, text: str) -> Picture:
        data = self._pictures.read(text, "image")
        return read_picture(data, field="image", limits=self._pictures.limits)

    def _done(self, tool: Tool) -> Generation:
        """What came of it; called off when its caller goes away.

        Raises TooManyWaiting, and what the pool and `Admission.holding` do.
        """
        caller, left = caller_of(request), departure(request.environ)
        holding = self._admission.holding(tool, caller)
        with told_at_its_field(tool), self._seats.taken(), holding:
            ticket = self._pool.submit(
                tool, caller=caller, timeout_s=self._deadline_s, correlation=current()
            )
            try:
                while not ticket.wait(CALLER_CHECK_S):
                    if left():
                        raise GenerationCanceled("The caller went away.")
            finally:
                ticket.cancel()
            return ticket.result().generation
