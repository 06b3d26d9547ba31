"""The request being served, as itself: by flask's stand-ins each word costs three calls.

For what every request passes through; elsewhere `flask.request` and `flask.g` read better.
"""

from __future__ import annotations

from typing import Any

import flask


def served() -> flask.Request:
    """The request that this thread serves."""
    request: flask.Request = flask.request._get_current_object()  # type: ignore[attr-defined]
    return request


def kept() -> Any:
    """What is kept of it until it is answered: `flask.g`."""
    return flask.g._get_current_object()
