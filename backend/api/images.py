"""GET, HEAD and DELETE /image/<uuid>: kept images, whole, in ranges, or as renditions."""

from __future__ import annotations

from io import BytesIO
from uuid import UUID

from flask import Blueprint, Response, request, send_file

from ai.errors import InvalidRequest
from backend.errors import ImageGone, ImageNotFound
from backend.services import Services
from backend.storage.base import parse_image_id
from backend.storage.renditions import Rendered, Rendition, etag

CACHE_CONTROL = "public, max-age=31536000, immutable"
"""An id never stands for other bytes, so a year, the longest that caches honour (RFC 9111)."""
NEVER_THERE = "No image is kept under that id."
QUERY = frozenset({"format", "width"})


def blueprint(services: Services) -> Blueprint:
    """The images that `services` keep."""
    routes = Blueprint("images", __name__)

    @routes.get("/image/<name>")
    def image(name: str) -> Response:
        image_id, rendition = _image_id(name), _rendition()
        rendered = services.renditions.get(image_id, rendition)
        try:
            if rendered is not None:
                return _served(rendered, etag(image_id, rendition))
        except FileNotFoundError:
            pass  # swept just now
        raise _missing(services, image_id)

    @routes.delete("/image/<name>")
    def delete_image(name: str) -> Response:
        image_id = _image_id(name)
        if not services.store.delete(image_id):
            raise _missing(services, image_id)
        return Response(status=204)

    return routes


def _image_id(name: str) -> UUID:
    image_id = parse_image_id(name)
    if image_id is None:
        raise ImageNotFound(NEVER_THERE)
    return image_id


def _rendition() -> Rendition:
    for unknown in sorted(request.args.keys() - QUERY):
        raise InvalidRequest(unknown, "Unknown parameter")
    return Rendition.parse(request.args.get("format"), request.args.get("width"))


def _served(rendered: Rendered, tag: str) -> Response:
    content = rendered.content
    response = send_file(
        BytesIO(content) if isinstance(content, bytes) else content.absolute(),
        mimetype=rendered.media_type,
        conditional=True,
        etag=tag,
    )
    response.headers["Cache-Control"] = CACHE_CONTROL
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _missing(services: Services, image_id: UUID) -> Exception:
    """Gone, as long as the job that made it is kept; else nobody knows that it was there."""
    if services.ledger.has_made(image_id):
        return ImageGone("That image was deleted, or evicted to make room or for its age.")
    return ImageNotFound(NEVER_THERE)
