"""GET of a kept image: by the gateway alone, sent by nginx on its word, and nginx's own file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.comparison import comparison_table, figures_of
from bench.contestants import DIRECT, sluice_with_redis
from bench.dialects import ours
from bench.load import Request
from bench.nginx import nginx
from bench.plan import Plan
from bench.report import Bar, Part
from bench.rounds import Entry, Turns, per_s, ratio, take_turns
from bench.upstream import upstream
from tests.running import Sluice, free_port

CONNECTIONS = (1, 8)
LEAST_OF_STATIC = 0.9
ALONE, ASKED, KEPT = "Sluice", "behind nginx, asked each time", "behind nginx, once more"
_STATIC = "root {data}; default_type image/png; sendfile on; tcp_nopush on;"
_FRONT_HTTP = """
    upstream behind {{ server 127.0.0.1:{port}; keepalive 64; }}
    proxy_cache_path {cache} keys_zone=images:1m use_temp_path=off;
    proxy_cache_valid 200 5s;
    proxy_ignore_headers Cache-Control;
    sendfile on;
    tcp_nopush on;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header X-Forwarded-For $http_x_forwarded_for;
    server {{
        listen 127.0.0.1:{asking};
        location / {{ proxy_pass http://behind; }}
        location /kept/ {{ internal; alias {data}/; }}
    }}
"""
_FRONT = """
        location / {{
            open_file_cache max=100;
            proxy_cache images;
            proxy_pass http://127.0.0.1:{asking};
        }}
"""
"""As deploy/nginx has it: the outer server keeps what the inner one was given, for a moment."""


def run(plan: Plan) -> Part:
    """A file of 0.5 MB again and again. "direct" is nginx serving the stored file: the floor."""
    found: dict[int, Turns] = {}
    with _serving(plan.room("kept-images")) as entries:
        for connections in CONNECTIONS:
            found[connections] = take_turns(
                entries, connections=connections, rounds=plan.rounds, seconds=plan.seconds
            )
    tables = [
        comparison_table(f"GET of an image of 0.5 MB, {connections} at a time", connections, turns)
        for connections, turns in found.items()
    ]
    eight = found[8]
    share = ratio(eight[KEPT], eight[DIRECT], per_s)
    bar = Bar(
        "of nginx's own requests/s for a file, for an image once more, at 8",
        share,
        LEAST_OF_STATIC,
        is_floor=True,
    )
    return Part("kept-images", tables, [bar], {str(n): figures_of(t) for n, t in found.items()})


@contextmanager
def _serving(room: Path) -> Iterator[list[Entry]]:
    asking = free_port()
    with (
        upstream(room) as source,
        sluice_with_redis(
            room / "sluice", {"SD_WEBUI_URL": source.url, "ACCEL_PREFIX": "/kept"}
        ) as behind,
        sluice_with_redis(room / "alone", {"SD_WEBUI_URL": source.url}) as alone,
        nginx(
            room / "front",
            _FRONT.format(asking=asking),
            _FRONT_HTTP.format(
                data=behind.data_dir, port=behind.port, asking=asking, cache=room / "cache"
            ),
        ) as (front_port, front_pid),
        nginx(room / "static", _STATIC.format(data=behind.data_dir)) as (static_port, static_pid),
    ):
        url = _made(behind)
        (kept,) = behind.data_dir.rglob(url.rpartition("/")[2] + "*")
        path = f"/{kept.relative_to(behind.data_dir)}"
        yield [
            Entry(DIRECT, static_port, (static_pid,), _get(path)),
            Entry(KEPT, front_port, (front_pid, behind.process.pid), _get(url)),
            Entry(ASKED, asking, (front_pid, behind.process.pid), _get(url)),
            Entry(ALONE, alone.port, (alone.process.pid,), _get(_made(alone))),
        ]


def _made(sluice: Sluice) -> str:
    """The path of an image just made."""
    answer = sluice.http.post(
        sluice.url + ours(512).path,
        data=ours(512).body,
        timeout=60,
        headers={"Content-Type": "application/json"},
    )
    answer.raise_for_status()
    return str(answer.json()["image_url"])


def _get(path: str) -> Request:
    return Request(path, method="GET", headers={})
