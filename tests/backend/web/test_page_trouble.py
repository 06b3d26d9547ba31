"""The page when things go wrong: it says so plainly, and goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.backend.web.conftest import SETTINGS
from tests.browser import Page
from tests.fake_webui import FakeWebUI, Fault
from tests.running import Sluice, running_sluice

SMALL = {"width": 64, "height": 64, "steps": 4}
OpenPage = Callable[[str], Page]


def test_a_limit_is_told_before_and_after_it_is_used_up(
    open_page: OpenPage, sluice: Sluice
) -> None:
    page = open_page(sluice.url)
    page.ask("one", **SMALL)
    page.made()
    assert page.text("#limits") == "3 of 4 left this minute"
    for _ in range(2):
        sluice.post("txt2img", json={}, headers={"X-Forwarded-For": page.address})
    page.click("#generate")
    page.made(2)
    assert page.text("#limits").startswith("None of 4 left this minute; again in")
    page.click("#generate")
    page.sees("#problem", "Too many requests")
    assert "try again in" in page.text("#problem")
    assert page.find("#cancel").is_displayed() is False


def test_a_restart_in_between_costs_nothing_but_time(open_page: OpenPage, tmp_path: Path) -> None:
    with (
        FakeWebUI() as webui,
        running_sluice(tmp_path, {"SD_WEBUI_URL": webui.url, **SETTINGS}) as sluice,
    ):
        page = open_page(sluice.url)
        webui.model.state.hold(at_step=2)
        page.ask("a red circle", **SMALL, seed=3)
        page.sees("#standing-words", "Step 2 of 4")
        sluice.kill()
        page.sees("#standing-words", "Trying again")
        webui.model.state.release()
        sluice.start()
        page.made()
        assert "seed 3" in page.text("#caption-facts")
        assert page.find("#problem").is_displayed() is False

        sluice.kill()
        page.click("#generate")
        page.sees("#problem", "cannot be reached")
        assert page.find("#generate").get_attribute("aria-disabled") == "false"


def test_a_value_out_of_bounds_is_told_by_its_field_and_not_sent(
    page: Page, webui: FakeWebUI
) -> None:
    page.ask("a red circle", steps=9999)
    page.sees("#steps-wrong", "150")
    assert page.find("#steps").get_attribute("aria-invalid") == "true"
    assert page.js("return document.activeElement.id") == "steps"
    page.ask("a red circle", **SMALL)
    page.made()
    assert page.find("#steps-wrong").is_displayed() is False
    assert len(webui.bodies("txt2img")) == 1


def test_what_the_server_refuses_is_told_by_its_field(open_page: OpenPage, sluice: Sluice) -> None:
    page = open_page(sluice.url)
    page.ask("a red <sd_cpp_extra_args> circle", **SMALL)
    page.sees("#prompt-wrong", "must not contain")
    page.sees("#problem", "Invalid request")


def test_a_failed_job_is_told_in_words(page: Page, webui: FakeWebUI) -> None:
    webui.inject(Fault.NAN)
    page.ask("a red circle", **SMALL)
    page.sees("#problem", "It could not be made")
    assert len(page.text("#problem")) > len("It could not be made")
    assert page.pictures() == []


def test_a_picture_no_longer_kept_is_shown_as_gone(open_page: OpenPage, sluice: Sluice) -> None:
    page = open_page(sluice.url)
    page.ask("a red circle", **SMALL)
    [url] = page.made()
    mine = {"X-Forwarded-For": page.address}
    assert sluice.http.delete(sluice.url + url, headers=mine, timeout=10).status_code == 204
    page.driver.execute_cdp_cmd("Network.clearBrowserCache", {})
    page.reload()
    page.sees("#gone", "no longer kept")
    page.until(lambda: bool(page.all("#pictures .gone")), "its thumbnail says so")


@pytest.mark.parametrize("name", ["notes.png", "empty.png"])
def test_a_file_that_is_no_picture_is_told_of(page: Page, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"" if name == "empty.png" else b"buy milk")
    page.find("#image").send_keys(str(tmp_path / name))
    page.sees("#image-wrong", "not a picture")
