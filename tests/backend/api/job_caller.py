"""A caller of the jobs API, told from others by the address a trusted proxy says."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import requests

from tests.running import API, Sluice, wait_until

SMALL = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 4, "seed": 7}
ASYNC = {"Prefer": "respond-async"}
BEHIND_A_PROXY = {
    "TRUSTED_PROXIES": "1",
    "RATELIMIT_ENABLED": "false",
    "RESULT_CACHE": "off",
    "CPU_FALLBACK": "false",
}
_addresses = (f"192.0.2.{number}" for number in itertools.count(1))


@dataclass
class Event:
    """A server-sent event; `comment` alone for a comment line."""

    name: str = ""
    id: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    comment: str = ""


class Caller:
    """Somebody at an address of his own."""

    def __init__(self, sluice: Sluice) -> None:
        self.sluice = sluice
        self.headers = {"X-Forwarded-For": next(_addresses)}

    def post(self, kind: str = "txt2img", **body: object) -> requests.Response:
        return self.sluice.post(kind, json=SMALL | body, headers=self.headers)

    def submit(self, kind: str = "txt2img", **body: object) -> str:
        """The id of a job that nobody waits for."""
        answer = self.sluice.post(kind, json=SMALL | body, headers=self.headers | ASYNC)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["job_id"])

    def get(self, path: str, **headers: str) -> requests.Response:
        return self.sluice.get(f"{API}/jobs{path}", headers=self.headers | headers)

    def job(self, job_id: str) -> dict[str, Any]:
        answer = self.get(f"/{job_id}")
        assert answer.status_code == 200, answer.text
        job: dict[str, Any] = answer.json()
        return job

    def cancel(self, job_id: str) -> requests.Response:
        url = f"{self.sluice.url}{API}/jobs/{job_id}"
        return self.sluice.http.delete(url, headers=self.headers, timeout=30)

    def await_job(
        self, job_id: str, is_so: Callable[[dict[str, Any]], bool], what: str
    ) -> dict[str, Any]:
        wait_until(lambda: is_so(self.job(job_id)), what)
        return self.job(job_id)

    def await_status(self, job_id: str, status: str) -> dict[str, Any]:
        return self.await_job(job_id, lambda job: job["status"] == status, f"the job is {status}")

    @contextmanager
    def watching(
        self, job_id: str, *, query: str = "", last_event_id: str | None = None
    ) -> Iterator[Iterator[Event]]:
        """The events of a job, on a connection of its own."""
        resumed = {"Last-Event-ID": last_event_id} if last_event_id else {}
        url = f"{self.sluice.url}{API}/jobs/{job_id}/events{query}"
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(url, headers=self.headers | resumed, stream=True, timeout=30)
            assert answer.status_code == 200, answer.text
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            yield events(answer.iter_lines(chunk_size=1))


def events(lines: Iterator[bytes]) -> Iterator[Event]:
    """As a browser's EventSource reads them, comments included."""
    event = Event()
    for line in lines:
        name, _, value = line.decode().partition(":")
        value = value.removeprefix(" ")
        if line.startswith(b":"):
            yield Event(comment=value)
        elif name == "event":
            event.name = value
        elif name == "id":
            event.id = value
        elif name == "data":
            event.data = orjson.loads(value)
        elif not line and event.name:
            yield event
            event = Event()
