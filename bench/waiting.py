"""512 requests that wait for one busy engine: what each weighs, whether any is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from bench.contestants import MOST_CONNECTIONS, sluice_with_redis
from bench.dialects import ours
from bench.load import load
from bench.plan import Plan
from bench.processes import usage
from bench.report import Bar, Part, Table
from tests.running import API, Sluice, running_fake_webui, wait_until

MOST_MB_EACH = 1.0
WAIT_S = 15.0
"""Long enough for all to have come in, on a slow machine too."""
COLUMNS = ("requests", "MB before", "MB while they wait", "MB each", "refused")


def run(plan: Plan) -> Part:
    with running_fake_webui("--latency-s", "3600") as webui:
        settings = {"SD_WEBUI_URL": webui.url, "SD_WEBUI_CONCURRENCY": "1"}
        with sluice_with_redis(plan.room("waiting") / "sluice", settings) as served:
            before_mb, with_mb, refused = _weighed(served)
            served.kill()
    each_mb = (with_mb - before_mb) / MOST_CONNECTIONS
    row = (MOST_CONNECTIONS, before_mb, with_mb, each_mb, refused)
    bars = [
        Bar("MB for each that waits", each_mb, MOST_MB_EACH),
        Bar("refused of those that wait", refused, 0),
    ]
    return Part("waiting", [Table("Waiting for one busy engine", COLUMNS, [row])], bars)


def _weighed(served: Sluice) -> tuple[float, float, int]:
    """Memory before and while all wait, and how many were answered, which nobody should be."""

    def all_wait() -> bool:
        queue = served.get(f"{API}/health").json()["queue"]
        return int(queue["waiting"]) >= MOST_CONNECTIONS - 1

    all_wait()
    before = usage(served.process.pid)
    with ThreadPoolExecutor(1) as asking:
        asked = asking.submit(
            load, served.port, ours(512), connections=MOST_CONNECTIONS, seconds=WAIT_S
        )
        wait_until(all_wait, f"{MOST_CONNECTIONS} wait", WAIT_S)
        during = usage(served.process.pid)
        return before.memory_mb, during.memory_mb, asked.result().requests
