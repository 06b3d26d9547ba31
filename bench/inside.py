"""How many threads, and calls of Python, have a part in one request from arrival to answer.

    python -m bench.inside WEBUI_URL DATA_DIR

The application runs in this process, without gunicorn, every call watched. Threads count that
call code of ours; calls count wherever they are, those of the client that asks among them.
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
    """What was called since it was last forgotten: by which threads, and how often."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.threads: set[int] = set()
        self.calls = 0

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        if event != "call":
            return
        self.calls += 1
        if frame.f_code.co_filename.startswith(OURS):
            self.threads.add(threading.get_ident())


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
    # More are seen where a thread that works off the road comes in between.
    threads, calls = map(min, zip(*counts, strict=True))
    print(threads, calls)


def _count_one(app: Flask, watch: Watch) -> tuple[int, int]:
    asked = ours(SIDE)
    watch.forget()
    answer = app.test_client().post(asked.path, data=asked.body, headers=dict(asked.headers))
    count = len(watch.threads), watch.calls
    if answer.status_code != 200:
        raise RuntimeError(answer.text)
    return count


if __name__ == "__main__":
    main()
