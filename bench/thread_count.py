"""How many threads have a part in one request, from its arrival to its answer.

    python -m bench.thread_count WEBUI_URL DATA_DIR

The application runs in this process, without gunicorn, every call of its own code watched.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import FrameType

from flask import Flask

from backend import create_app
from backend.settings import Settings
from backend.telemetry import configure_logging
from bench.dialects import ours
from tests.running import ROOT

OURS = tuple(str(ROOT / top) for top in ("ai", "backend"))
REQUESTS = 40
SIDE = 512


class Watch:
    """The threads that called code of ours since it was last forgotten."""

    def __init__(self) -> None:
        self.seen: set[int] = set()

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(OURS):
            self.seen.add(threading.get_ident())


def main() -> None:
    url, data_dir = sys.argv[1:]
    watch = Watch()
    threading.setprofile(watch)
    settings = Settings(
        data_dir=Path(data_dir), sd_webui_url=(url,), ratelimit_enabled=False, log_level="error"
    )
    configure_logging(settings)
    app = create_app(settings)
    sys.setprofile(watch)
    counts = [_count_one(app, watch) for _ in range(REQUESTS)]
    sys.setprofile(None)
    app.extensions["sluice"].close()
    # More are seen where one that works off the road comes in between.
    print(min(counts))


def _count_one(app: Flask, watch: Watch) -> int:
    asked = ours(SIDE)
    watch.seen.clear()
    answer = app.test_client().post(asked.path, data=asked.body, headers=dict(asked.headers))
    count = len(watch.seen)
    if answer.status_code != 200:
        raise RuntimeError(answer.text)
    return count


if __name__ == "__main__":
    main()
