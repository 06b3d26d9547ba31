"""A browser for a worker's tests, and the page of a gateway before a fake WebUI."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from tests.browser import Page, running_chromium
from tests.fake_webui import FakeWebUI
from tests.running import Sluice, running_sluice

SETTINGS = {
    "CPU_FALLBACK": "false",
    "RESULT_CACHE": "false",
    "RATELIMIT_GENERATION": "4/minute",
    "TRUSTED_PROXIES": "1",
}
"""No stand-in for the fake WebUI. Each page comes from an address, and has limits, of its own."""

ADDRESSES = count(1)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with running_chromium(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


@pytest.fixture(scope="session")
def webui() -> Iterator[FakeWebUI]:
    with FakeWebUI() as webui:
        yield webui


@pytest.fixture(scope="session")
def sluice(webui: FakeWebUI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sluice]:
    env = {"SD_WEBUI_URL": webui.url, **SETTINGS}
    with running_sluice(tmp_path_factory.mktemp("web"), env) as sluice:
        yield sluice


@pytest.fixture
def open_page(chromium: Chrome) -> Iterator[Callable[[str], Page]]:
    """Opens the page at an address; in the end it must have asked nobody else for anything."""
    pages: list[Page] = []

    def opened(url: str) -> Page:
        page = Page(chromium, url, f"10.0.0.{next(ADDRESSES)}")
        pages.append(page)
        page.looks()
        return page.open()

    yield opened
    for page in pages:
        page.read_logs()
        assert page.origins == {page.url}


@pytest.fixture
def page(open_page: Callable[[str], Page], sluice: Sluice, webui: FakeWebUI) -> Iterator[Page]:
    """The page, whose console must stay empty, and a fake WebUI that has seen nothing yet."""
    webui.seen.clear()
    page = open_page(sluice.url)
    try:
        yield page
        page.read_logs()
        assert page.complaints == []
    finally:
        webui.model.state.release()


@pytest.fixture
def somewhere(tmp_path: Path) -> Path:
    """Where the browser's downloads go."""
    folder = tmp_path / "downloads"
    folder.mkdir()
    return folder
