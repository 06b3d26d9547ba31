"""What Sluice adds to a WebUI's own time: one client, the same upstream with and without it.

    python -m bench.overhead [--rounds 5] [--requests 60]

The upstream answers at once with a real-sized picture, so that what is left is the gateway:
validation, limits, the queue, the store, metrics and logs all on. Rounds alternate between
the two roads; the figure is the difference of their medians.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

from tests.running import running_fake_webui, running_sluice

AIMS_MS = {512: 3.0, 1024: 8.0}
"""Added p50 that the project aims for, by side of the picture in pixels."""
WARM_UP = 10
MANY = {"RATELIMIT_GLOBAL": "1000000/minute", "RATELIMIT_GENERATION": "1000000/minute"}
"""Limits that count every request and refuse none."""


def main() -> None:
    options = _options()
    results = {}
    with tempfile.TemporaryDirectory() as folder, running_fake_webui("--realistic") as webui:
        env = {
            "SD_WEBUI_URL": webui.url,
            "SD_WEBUI_CONCURRENCY": "4",
            "RESULT_CACHE": "off",
            **MANY,
        }
        with running_sluice(Path(folder), env) as sluice:
            for side in AIMS_MS:
                results[side] = measure(
                    webui.port, sluice.port, side, options.rounds, options.requests
                )
    for side, result in results.items():
        print(
            f"{side}x{side}: direct {result['direct_ms']:.2f} ms, through Sluice "
            f"{result['through_ms']:.2f} ms, added p50 {result['added_ms']:.2f} ms "
            f"(aim {AIMS_MS[side]:g}), {result['body_bytes'] / 1e6:.1f} MB of JSON"
        )
    if options.out:
        machine = {"python": platform.python_version(), "cores": os.cpu_count()}
        options.out.write_text(json.dumps({"machine": machine, "results": results}, indent=1))


def measure(
    webui_port: int, sluice_port: int, side: int, rounds: int, requests: int
) -> dict[str, float]:
    """Medians in milliseconds over both roads for pictures of `side` x `side`."""
    body = {"prompt": "a red circle", "width": side, "height": side, "steps": 20, "seed": 1}
    direct_body = json.dumps({**body, "sampler_name": "Euler a", "batch_size": 1, "n_iter": 1})
    roads = {
        "direct": (webui_port, "/sdapi/v1/txt2img", direct_body),
        "through": (sluice_port, "/api/v1/ai/generation/txt2img", json.dumps(body)),
    }
    times: dict[str, list[float]] = {name: [] for name in roads}
    sizes = [_time_requests(port, path, text, WARM_UP)[1] for port, path, text in roads.values()]
    for _ in range(rounds):
        for name, (port, path, text) in roads.items():
            times[name] += _time_requests(port, path, text, requests)[0]
    direct, through = (statistics.median(times[name]) * 1000 for name in ("direct", "through"))
    return {
        "direct_ms": direct,
        "through_ms": through,
        "added_ms": through - direct,
        "body_bytes": max(sizes),
    }


def _time_requests(port: int, path: str, body: str, count: int) -> tuple[list[float], int]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    times, size = [], 0
    for _ in range(count):
        start = time.perf_counter()
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        size = len(response.read())
        times.append(time.perf_counter() - start)
        assert response.status == 200, response.status
    connection.close()
    return times, size


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=60, help="in each round, on each road")
    parser.add_argument("--out", type=Path, help="where to write the figures as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
