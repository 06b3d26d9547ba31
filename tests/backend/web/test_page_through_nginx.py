"""The page behind a plain nginx: its EventSource is told of the job as it goes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.browser import Page
from tests.fake_webui import FakeWebUI
from tests.nginx import running_nginx
from tests.running import Sluice


def test_a_picture_is_watched_and_made_through_nginx(
    open_page: Callable[[str], Page], webui: FakeWebUI, sluice: Sluice, tmp_path: Path
) -> None:
    with running_nginx(tmp_path, sluice.port) as front:
        page = open_page(front)
        webui.model.state.hold(at_step=2)
        page.ask("a red circle", width=64, height=64, steps=4, seed=7)
        page.sees("#standing-words", "Step 2 of 4")
        webui.model.state.release()
        [url] = page.made()
        assert url.startswith("/api/")
