"""POST /txt2img, /img2img and /inpainting."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

import orjson
from flask import Blueprint, Request, Response, g

from ai.generation import GenerationRequest
from backend.api.bodies import body_limit, read_values
from backend.api.repeated import REPLAYED, claim_of, wants_fresh
from backend.api.schemas import BodyModels, GenerationBody, Img2ImgBody, InpaintingBody, Txt2ImgBody
from backend.api.translate import answer_of, image_path, job_path, job_urls, request_of
from backend.bounds import Bounds
from backend.callers import caller_of, departure
from backend.errors import ImageGone
from backend.here import served
from backend.jobs.idempotency import Earlier, IdempotencyConflict
from backend.jobs.keeping import IMAGE_LOST, restored
from backend.jobs.live import GenerationResult, MadeImage
from backend.jobs.records import Claim, KeyTaken, LedgerUnavailable, Terms
from backend.json_answers import json_pieces
from backend.services import Services
from backend.telemetry import elapsed_s, note_made

JSON = "application/json"


def blueprint(services: Services) -> Blueprint:
    """The three POSTs over `services`."""
    routes = Blueprint("generation", __name__)
    desk = _Desk(services)

    @routes.post("/txt2img")
    def txt2img() -> Response:
        return desk.serve(Txt2ImgBody)

    @routes.post("/img2img")
    def img2img() -> Response:
        return desk.serve(Img2ImgBody)

    @routes.post("/inpainting")
    def inpainting() -> Response:
        return desk.serve(InpaintingBody)

    return routes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """A request that was found good: what to make, for whom, how, and how to answer."""

    asked: GenerationRequest
    caller: str
    terms: Terms
    url_only: bool


class _Desk:
    """Takes a request in, has it made, hands out the answer."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._bounds = Bounds.of(services.settings)
        self._models = BodyModels(self._bounds)

    def serve(self, kind: type[GenerationBody]) -> Response:
        request = served()
        body = self._models.validate(kind, self._read(request, kind))
        if body.webhook_url is not None:
            self._services.webhooks.check(body.webhook_url)
        services = self._services
        asked = request_of(body, self._bounds, services.pictures)
        status = 202 if _asynchronous(request) else 200
        claim = claim_of(request, body, asked, status=status)
        order = _Order(
            asked=asked,
            caller=caller_of(request),
            terms=Terms(fresh=wants_fresh(request), claim=claim, webhook_url=body.webhook_url),
            url_only=body.response_format == "url",
        )
        answer = self._accepted if status == 202 else self._made
        return self._once(order, claim, answer) if claim else answer(order)

    def _once(self, order: _Order, claim: Claim, answer: Callable[[_Order], Response]) -> Response:
        """What was answered to the first request with that key, or now to this as the first."""
        earlier = self._services.keys.earlier(order.caller, claim)
        if earlier is None:
            try:
                return answer(order)
            except KeyTaken:
                earlier = self._services.keys.earlier(order.caller, claim)
        if earlier is None:
            raise IdempotencyConflict("The first request with this Idempotency-Key just failed.")
        return self._replayed(order, claim, earlier)

    def _accepted(self, order: _Order) -> Response:
        start = self._services.generator.start
        live = start(order.asked, caller=order.caller, terms=order.terms)
        return _acceptance(live.id)

    def _made(self, order: _Order) -> Response:
        result = self._services.generator.generate(
            order.asked,
            caller=order.caller,
            terms=order.terms,
            caller_left=departure(served().environ),
            url_only=order.url_only,
        )
        note_made(result)
        processing_s = elapsed_s()
        if order.terms.claim:
            with suppress(LedgerUnavailable):
                self._services.keys.answered(order.caller, order.terms.claim.key, processing_s)
        return _answer(result, order, processing_s)

    def _replayed(self, order: _Order, claim: Claim, earlier: Earlier) -> Response:
        g.log_fields = {"replayed": True}
        if claim.status == 202:
            response = _acceptance(earlier.job.id)
        else:
            result = restored(earlier.job, self._services.store)
            response = _answer(result, order, earlier.processing_s)
        response.headers[REPLAYED] = "true"
        return response

    def _read(self, request: Request, kind: type[GenerationBody]) -> dict[str, object]:
        max_bytes = body_limit(kind, self._services.settings.max_image_bytes)
        return read_values(request, kind, max_bytes)


def _asynchronous(request: Request) -> bool:
    """Whether the caller would rather have an id at once (Prefer, RFC 7240)."""
    wishes = request.headers.get("Prefer", "").replace(";", ",").lower().split(",")
    return "respond-async" in (wish.strip() for wish in wishes)


def _acceptance(job_id: UUID) -> Response:
    answer = {"job_id": str(job_id), "status": "queued", "urls": job_urls(job_id)}
    response = Response(orjson.dumps(answer), status=202, mimetype=JSON)
    response.headers["Location"] = job_path(job_id)
    response.headers["Preference-Applied"] = "respond-async"
    return response


def _answer(result: GenerationResult, order: _Order, processing_s: float) -> Response:
    first = result.images[0]
    if not _wants_bytes(first.image.media_type):
        answer = answer_of(result, url_only=order.url_only, processing_time=processing_s)
        return Response(json_pieces(answer), mimetype=JSON)
    if first.lost:
        raise ImageGone(IMAGE_LOST)
    return _picture(first)


def _wants_bytes(media_type: str) -> bool:
    """Whether the caller named the picture's own type in Accept and would rather have that."""
    return served().accept_mimetypes.best_match([JSON, media_type]) == media_type


def _picture(made: MadeImage) -> Response:
    response = Response(made.image.data, mimetype=made.image.media_type)
    response.headers["X-Seed"] = str(made.image.seed)
    if made.image_id:
        response.headers["Content-Location"] = image_path(made.image_id)
    return response
