"""The page of a gateway that asks for a key."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.backend.web.conftest import SETTINGS
from tests.browser import Page
from tests.fake_webui import FakeWebUI
from tests.running import Sluice, running_sluice

SMALL = {"width": 64, "height": 64, "steps": 4}
KEY = "a-key-of-the-environment"


@pytest.fixture(scope="module")
def locked(webui: FakeWebUI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sluice]:
    env = {"SD_WEBUI_URL": webui.url, **SETTINGS, "AUTH": "keys", "API_KEY": KEY}
    with running_sluice(tmp_path_factory.mktemp("locked"), env) as sluice:
        yield sluice


def test_a_key_is_asked_for_once_and_then_opens_all_that_the_page_does(
    open_page: Callable[[str], Page], locked: Sluice, webui: FakeWebUI
) -> None:
    page = open_page(locked.url)
    page.sees("#unlock", "API key")
    page.sees("#problem", "API key needed")

    page.fill("#key", "a wrong one")
    page.click("#unlock button")
    page.sees("#problem", "API key not valid")

    page.fill("#key", KEY)
    page.click("#unlock button")
    page.until(lambda: len(page.all("#model option")) > 1, "the checkpoints are offered")
    assert not page.shows("#unlock")

    webui.model.state.hold(at_step=2)
    page.ask("a red circle", **SMALL)
    page.sees("#standing-words", "Step 2 of 4")
    page.sees("#preview")
    page.reload()
    page.sees("#standing-words", "Step 2 of 4")
    webui.model.state.release()
    page.made()
    page.until(lambda: page.find("#shown").get_property("naturalWidth") == 64, "it is loaded")
    assert "X-API-Key: $API_KEY" in page.text("#curl")
    assert KEY not in page.text("body")
    assert KEY not in page.js("return JSON.stringify(localStorage)")


def test_where_no_key_is_asked_for_there_is_no_field_for_one(page: Page) -> None:
    page.ask("a red circle", **SMALL)
    page.made()
    assert not page.shows("#unlock")
    assert "X-API-Key" not in page.text("#curl")
