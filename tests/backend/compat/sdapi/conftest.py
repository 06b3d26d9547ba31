"""A gateway before a fake WebUI, and the client people use for the WebUI, unmodified."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import webuiapi

from tests.fake_webui import FakeWebUI
from tests.running import Sluice, running_sluice


@pytest.fixture(scope="package")
def webui() -> Iterator[FakeWebUI]:
    with FakeWebUI() as webui:
        webui.model.extensions = ("adetailer",)
        yield webui


@pytest.fixture(scope="package")
def sluice(webui: FakeWebUI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sluice]:
    env = {"SD_WEBUI_URL": webui.url, "CPU_FALLBACK": "false", "RATELIMIT_ENABLED": "false"}
    with running_sluice(tmp_path_factory.mktemp("sluice"), env) as sluice:
        yield sluice


@pytest.fixture
def api(sluice: Sluice) -> Iterator[webuiapi.WebUIApi]:
    client = webuiapi.WebUIApi(port=sluice.port, steps=4)
    client.session.trust_env = False
    yield client
    client.session.close()


@pytest.fixture(autouse=True)
def _nothing_seen_yet(webui: FakeWebUI) -> None:
    webui.seen.clear()
