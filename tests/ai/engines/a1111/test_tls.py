"""The WebUI's engine over TLS: the same connections, and none to whom is not trusted."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from ai.errors import EngineUnavailable
from tests.ai.engines.a1111.support import TIMEOUT_S, engine_at, txt2img
from tests.certificates import self_signed
from tests.fake_webui import FakeWebUI, Fault


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1 and its key, in one file."""
    return self_signed("IP:127.0.0.1", tmp_path_factory.mktemp("tls"))


@pytest.fixture
def webui(certificate: Path) -> Iterator[FakeWebUI]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with FakeWebUI(tls=context) as running:
        yield running


def test_an_untrusted_certificate_makes_it_unavailable(webui: FakeWebUI) -> None:
    with engine_at(webui.url) as engine, pytest.raises(EngineUnavailable, match="be reached"):
        engine.describe()


def test_with_a_trusted_one_it_works_and_sends_again_what_was_never_read(
    webui: FakeWebUI, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = str(certificate.with_suffix(".crt"))
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", authority)
    with engine_at(webui.url) as engine:
        engine.describe()
        webui.inject(Fault.RESET_WHEN_REUSED)
        for _ in range(2):
            assert engine.generate(txt2img(), timeout_s=TIMEOUT_S).images
    assert webui.hang_ups == 1
    assert webui.connections == 2
