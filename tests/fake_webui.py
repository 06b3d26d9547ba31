"""A WebUI to test against: a real HTTP server with the real one's odd ways.

In a test:

    with FakeWebUI(step_latency_s=0.01) as webui:
        webui.inject(Fault.OOM)
        requests.post(f"{webui.url}/sdapi/v1/txt2img", json={...})
        assert webui.bodies("txt2img") == [{...}]

As a process, which prints its URL and can be killed and started again on the same port:

    python -m tests.fake_webui --port 0 --latency-s 0.5
"""

from __future__ import annotations

import argparse
import json
import ssl
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.fake_webui_faults import Fault
from tests.fake_webui_http import Server
from tests.fake_webui_model import TINY_A, TINY_B, FakeCheckpoint, FakeModel
from tests.fake_webui_routes import LOCKING, PREFIX, Routes
from tests.fake_webui_sdcpp import FakeSdcppModel
from tests.fake_webui_wire import Flavour

__all__ = ["TINY_A", "TINY_B", "FakeCheckpoint", "FakeWebUI", "Fault", "Seen"]


@dataclass
class Seen:
    """A request as it came. Times are of the monotonic clock."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    raw: bytes = field(repr=False)
    started_at: float = field(default_factory=time.monotonic)
    ended_at: float | None = None
    status: int | None = None

    @property
    def body(self) -> Any:
        return json.loads(self.raw) if self.raw else None


class FakeWebUI:
    """The server. `seen` holds its requests, `model` what it is and what it runs.

    Latencies are seconds of a job: `latency_s` for the whole of it, `step_latency_s` for
    each step. `auth` is "user:password" as for --api-auth. `realistic` answers with
    pictures as heavy as real ones, the same for every prompt and seed. While `starting`,
    everything is 404.
    """

    def __init__(
        self,
        *,
        flavour: Flavour = "forge",
        checkpoints: Sequence[FakeCheckpoint] = (TINY_A, TINY_B),
        latency_s: float = 0.0,
        step_latency_s: float = 0.0,
        switch_cost_s: float = 0.0,
        auth: str | None = None,
        cuda: bool = False,
        realistic: bool = False,
        starting: bool = False,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        make = FakeSdcppModel if flavour == "sdcpp" else FakeModel
        self.model = make(
            flavour=flavour,
            checkpoints=checkpoints,
            latency_s=latency_s,
            step_latency_s=step_latency_s,
            switch_cost_s=switch_cost_s,
            realistic=realistic,
        )
        self.routes = Routes(self.model, cuda=cuda)
        self.auth = auth
        self.starting = starting
        self._tls = tls
        self.host, self.port = host, port
        self.seen: list[Seen] = []
        self.in_flight = self.max_in_flight = self.connections = self.hang_ups = 0
        self.stopping = threading.Event()
        self._held_path: str | None = None
        self._faults: list[tuple[Fault, str]] = []
        self._changed = threading.Condition()
        self._server: Server | None = None

    # Life.

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self.host}:{self.port}"

    def start(self) -> FakeWebUI:
        self.stopping.clear()
        self.model.state.restart()
        self._server = Server((self.host, self.port), self)
        if self._tls:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Die: connections break, whatever runs is lost. `start` comes back on the same port."""
        if self._server is None:
            return
        self.stopping.set()
        self.release_answers()
        self.model.state.stop()
        self._server.shutdown()
        self._server.break_connections()
        self._server.server_close()
        self._server = None

    def __enter__(self) -> FakeWebUI:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # What tests set and see.

    def inject(self, *faults: Fault, path: str = "2img") -> None:
        """Let the next requests whose path holds `path` meet these, one each, in order."""
        with self._changed:
            self._faults += [(fault, path) for fault in faults]

    def hold_answers_to(self, name: str) -> None:
        """Handle requests whose path holds `name`, but keep their answers until released."""
        with self._changed:
            self._held_path = name

    def release_answers(self) -> None:
        with self._changed:
            self._held_path = None
            self._changed.notify_all()

    def take_fault(self, path: str) -> Fault | None:
        with self._changed:
            for index, (fault, wanted) in enumerate(self._faults):
                if wanted in path:
                    del self._faults[index]
                    return fault
        return None

    def bodies(self, name: str) -> list[Any]:
        """The bodies of the requests to /sdapi/v1/<name> so far."""
        return [seen.body for seen in list(self.seen) if seen.path == PREFIX + name]

    def wait_for_requests(self, count: int, name: str = "2img", timeout_s: float = 10.0) -> None:
        """Return once `count` requests whose path holds `name` have come. Raises TimeoutError."""
        with self._changed:
            came = self._changed.wait_for(
                lambda: sum(name in seen.path for seen in self.seen) >= count, timeout_s
            )
        if not came:
            raise TimeoutError(f"fewer than {count} requests to {name} came")

    @property
    def switches(self) -> int:
        return len(self.model.loads)

    # What the server tells.

    def began(
        self, method: str, path: str, query: str, headers: dict[str, str], raw: bytes
    ) -> Seen:
        seen = Seen(method, path, query, headers, raw)
        with self._changed:
            self.seen.append(seen)
            self.in_flight += seen.path.endswith(LOCKING)
            self.max_in_flight = max(self.max_in_flight, self.in_flight)
            self._changed.notify_all()
        return seen

    def wait_while_held(self, path: str) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._held_path is None or self._held_path not in path or self.stopping.is_set()
                )
            )

    def ended(self, seen: Seen, status: int | None) -> None:
        with self._changed:
            self.in_flight -= seen.path.endswith(LOCKING)
            seen.ended_at, seen.status = time.monotonic(), status
            self._changed.notify_all()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fake_webui", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--flavour", choices=("forge", "a1111", "sdcpp"), default="forge")
    parser.add_argument("--latency-s", type=float, default=0.0)
    parser.add_argument("--step-latency-s", type=float, default=0.0)
    parser.add_argument("--switch-cost-s", type=float, default=0.0)
    parser.add_argument("--auth", help="user:password, as for --api-auth")
    parser.add_argument("--cuda", action="store_true")
    parser.add_argument("--realistic", action="store_true")
    webui = FakeWebUI(**vars(parser.parse_args())).start()
    sys.stdout.write(f"{webui.url}\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    main()
