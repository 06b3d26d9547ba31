"""What a stranger's server has: names that resolve as a test says, and a certificate believed."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any

import pytest


class FakeResolver:
    """Answers each look-up with the next of `answers`; the last is answered for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        self.asked.append(host)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (address, port),
            )
            for address in answer
        ]


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> FakeResolver:
    resolver = FakeResolver(*answers)
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    return resolver


def serving(certificate: Path) -> ssl.SSLContext:
    """For a server that has it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def trusting(monkeypatch: pytest.MonkeyPatch, certificate: Path) -> None:
    """Have our own requests believe it, and no other."""
    authority = str(certificate.with_suffix(".crt"))
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", authority)
