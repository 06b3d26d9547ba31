"""The least that Flask under gunicorn can be asked: hand it on, keep the picture, hand it back.

It checks nothing, counts nothing, names nothing and says nothing: what the stack takes by itself.

    UPSTREAM=http://127.0.0.1:7860 IMAGES=images gunicorn --worker-class gthread --threads 8 \
        bench.rivals.bare_flask:app
"""

from __future__ import annotations

import http.client
import os
import threading
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import pybase64
from flask import Flask, Response, request

UPSTREAM = urlsplit(os.environ["UPSTREAM"])
IMAGES = Path(os.environ["IMAGES"])
_JSON = {"Content-Type": "application/json"}
_OPENING = b'{"images":["'

app = Flask(__name__)
_own = threading.local()


@app.post("/sdapi/v1/txt2img")
def txt2img() -> Response:
    answer = _asked("/sdapi/v1/txt2img", request.get_data())
    start = len(_OPENING)
    picture = pybase64.b64decode(answer[start : answer.index(b'"', start)])
    (IMAGES / str(uuid.uuid4())).write_bytes(picture)
    return Response(answer, mimetype="application/json")


def _asked(path: str, body: bytes) -> bytes:
    """Over a connection that this thread keeps, or a new one where that was closed."""
    kept: http.client.HTTPConnection | None = getattr(_own, "connection", None)
    if kept is not None:
        try:
            return _exchanged(kept, path, body)
        except (http.client.HTTPException, OSError):
            kept.close()
    _own.connection = http.client.HTTPConnection(str(UPSTREAM.hostname), UPSTREAM.port)
    return _exchanged(_own.connection, path, body)


def _exchanged(connection: http.client.HTTPConnection, path: str, body: bytes) -> bytes:
    connection.request("POST", path, body, _JSON)
    return connection.getresponse().read()
