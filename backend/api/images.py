"""GET, HEAD and DELETE /image/<uuid>: kept images, whole, in ranges, or as renditions.

With ACCEL_PREFIX set the bytes of a kept file are nginx's to send, and are not read here.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from uuid import UUID

from flask import Blueprint, Response, request, send_file

from ai.errors import InvalidRequest
from backend.callers import caller_of, key_of
from backend.errors import ImageGone, ImageNotFound
from backend.services import Services
from backend.settings import Settings
from backend.storage.base import parse_image_id
from backend.storage.renditions import Rendered, Rendition, etag

CACHE_CONTROL = "public, max-age=31536000, immutable"
"""An id never stands for other bytes, so a year, the longest that caches honour (RFC 9111)."""
NEVER_THERE = "No image is kept under that id."
QUERY = ("format", "width", "quality")


def blueprint(services: Services) -> Blueprint:
    """The images that `services` keep."""
    routes = Blueprint("images", __name__)

    @routes.get("/image/<name>")
    def image(name: str) -> Response:
        image_id, rendition = _image_id(name), _rendition()
        rendered = services.renditions.get(image_id, rendition)
        try:
            if rendered is not None:
                return _served(rendered, etag(image_id, rendition), services.settings)
        except FileNotFoundError:
            pass  # swept just now
        raise _missing(services, image_id)

    return routes


def deletion_blueprint(services: Services) -> Blueprint:
    """Taking images away, which only those may for whom they were made, and admins."""
    routes = Blueprint("image_deletion", __name__)

    @routes.delete("/image/<name>")
    def delete_image(name: str) -> Response:
        image_id = _image_id(name)
        if not _may_delete(services, image_id):
            raise ImageNotFound(NEVER_THERE)
        if not services.store.delete(image_id):
            raise _missing(services, image_id)
        return Response(status=204)

    return routes


def _may_delete(services: Services, image_id: UUID) -> bool:
    key = key_of(request)
    if key is not None and "admin" in key.scopes:
        return True
    return caller_of(request) in services.ledger.makers_of(image_id)


def _image_id(name: str) -> UUID:
    image_id = parse_image_id(name)
    if image_id is None:
        raise ImageNotFound(NEVER_THERE)
    return image_id


def _rendition() -> Rendition:
    for unknown in sorted(request.args.keys() - set(QUERY)):
        raise InvalidRequest(unknown, "Unknown parameter")
    return Rendition.parse(*(request.args.get(name) for name in QUERY))


def _served(rendered: Rendered, tag: str, settings: Settings) -> Response:
    content = rendered.content
    # nginx judges If-Match by an entity tag of its own, never by ours.
    if settings.accel_prefix and isinstance(content, Path) and not request.if_match:
        name = content.relative_to(settings.data_dir).as_posix()
        response = _left_to_nginx(rendered.media_type, tag, f"{settings.accel_prefix}/{name}")
    else:
        response = send_file(
            BytesIO(content) if isinstance(content, bytes) else content.absolute(),
            mimetype=rendered.media_type,
            conditional=True,
            etag=tag,
        )
    if "X-Accel-Redirect" not in response.headers:
        response.headers["Cache-Control"] = CACHE_CONTROL
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _left_to_nginx(media_type: str, tag: str, location: str) -> Response:
    """Without Cache-Control: nginx, which may yet find no image, adds it where it finds one."""
    response = Response(mimetype=media_type)
    response.set_etag(tag)
    response.make_conditional(request)
    if response.status_code == 200:
        response.headers["X-Accel-Redirect"] = location
    return response


def _missing(services: Services, image_id: UUID) -> Exception:
    """Gone, as long as the job that made it is kept; else nobody knows that it was there."""
    if services.ledger.makers_of(image_id):
        return ImageGone("That image was deleted, or evicted to make room or for its age.")
    return ImageNotFound(NEVER_THERE)
