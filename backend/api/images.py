"""GET, HEAD and DELETE /image/<uuid>: kept images, whole, in ranges, or as renditions."""

from __future__ import annotations

from io import BytesIO
from uuid import UUID

from flask import Blueprint, Response, request, send_file

from ai.errors import InvalidRequest
from backend.errors import ImageNotFound
from backend.services import Services
from backend.storage.base import parse_image_id
from backend.storage.renditions import Rendered, Rendition, etag

CACHE_CONTROL = "public, max-age=31536000, immutable"
"""An id never stands for other bytes, so a year, the longest that caches honour (RFC 9111)."""
QUERY = frozenset({"format", "width"})


def blueprint(services: Services) -> Blueprint:
    """The images that `services` keep."""
    routes = Blueprint("images", __name__)

    @routes.get("/image/<name>")
    def image(name: str) -> Response:
        image_id, rendition = _image_id(name), _rendition()
        rendered = services.renditions.get(image_id, rendition)
        if rendered is None:
            raise _not_found()
        return _served(rendered, etag(image_id, rendition))

    @routes.delete("/image/<name>")
    def delete_image(name: str) -> Response:
        if not services.store.delete(_image_id(name)):
            raise _not_found()
        return Response(status=204)

    return routes


def _image_id(name: str) -> UUID:
    image_id = parse_image_id(name)
    if image_id is None:
        raise _not_found()
    return image_id


def _rendition() -> Rendition:
    for unknown in sorted(request.args.keys() - QUERY):
        raise InvalidRequest(unknown, "Unknown parameter")
    return Rendition.parse(request.args.get("format"), request.args.get("width"))


def _served(rendered: Rendered, tag: str) -> Response:
    content = rendered.content
    try:
        response = send_file(
            BytesIO(content) if isinstance(content, bytes) else content.absolute(),
            mimetype=rendered.media_type,
            conditional=True,
            etag=tag,
        )
    except FileNotFoundError:
        raise _not_found() from None
    response.headers["Cache-Control"] = CACHE_CONTROL
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _not_found() -> ImageNotFound:
    return ImageNotFound("No image is kept under that id; it may have been deleted or evicted.")
