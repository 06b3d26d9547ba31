"""docs/compat.md names each route of this door, and no other."""

from __future__ import annotations

from pathlib import Path

from backend import create_app
from backend.compat.sdapi import PATH, controlnet
from backend.services import build_services
from backend.settings import Settings
from tests.fake_webui import FakeWebUI
from tests.running import ROOT

PAGE = (ROOT / "docs" / "compat.md").read_text().partition("## WebUI API")[2].partition("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    """The cells of the table under `title`, without its head."""
    section = PAGE.partition(f"### {title}\n")[2].partition("\n### ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_each_route_is_told_of(webui: FakeWebUI, tmp_path: Path) -> None:
    settings = Settings(
        _env_file=None, sd_webui_url=(webui.url,), cpu_fallback="false", data_dir=tmp_path
    )
    services = build_services(settings)
    try:
        rules = list(create_app(services=services).url_map.iter_rules())
    finally:
        services.close()
    there = {
        f"{method} {rule.rule.removeprefix(PATH + '/')}"
        for rule in rules
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith((PATH, controlnet.PATH))
    }
    assert {row[0].strip("`") for row in rows("Routes")} == there
