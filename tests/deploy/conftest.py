"""One gateway behind nginx as shipped, for all tests here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.deploy.front import Front, folder_for_the_group, running_front
from tests.fake_webui import FakeWebUI
from tests.running import Sluice, running_sluice

BEHIND_NGINX = {"TRUSTED_PROXIES": "1", "ACCEL_PREFIX": "/kept", "CPU_FALLBACK": "false"}
UNLIMITED = {"RATELIMIT_GENERATION": "1000/minute", "RATELIMIT_GLOBAL": "1000/minute"}


@pytest.fixture(scope="package")
def webui() -> Iterator[FakeWebUI]:
    with FakeWebUI() as webui:
        yield webui


@pytest.fixture(scope="package")
def sluice(webui: FakeWebUI) -> Iterator[Sluice]:
    env = {"SD_WEBUI_URL": webui.url, **BEHIND_NGINX, **UNLIMITED}
    with folder_for_the_group() as folder, running_sluice(folder, env) as sluice:
        yield sluice


@pytest.fixture(scope="package")
def front(sluice: Sluice) -> Iterator[Front]:
    with running_front([sluice.port], sluice.data_dir) as front:
        yield front
