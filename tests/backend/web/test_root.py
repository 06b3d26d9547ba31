"""GET /: who gets what, and what the page's answer lets a browser do."""

from __future__ import annotations

import base64
import hashlib
import re

from tests.running import API, Sluice

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def test_other_clients_get_name_version_and_links(sluice: Sluice) -> None:
    root = sluice.get("/").json()
    assert root["name"] == "Sluice"
    assert root["links"]["health"] == f"{API}/health"
    for link in root["links"].values():
        assert sluice.get(link).status_code == 200


def test_a_browser_gets_the_page_and_asks_again_for_nothing(sluice: Sluice) -> None:
    first = sluice.get("/", headers=BROWSER)
    assert first.headers["Content-Type"] == "text/html; charset=utf-8"
    assert first.headers["Vary"] == "Accept"
    again = sluice.get("/", headers={**BROWSER, "If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_page_loads_nothing_from_elsewhere(sluice: Sluice) -> None:
    html = sluice.get("/", headers=BROWSER).text
    links = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert links
    assert [link for link in links if not link.startswith(("/docs", "data:"))] == []
    assert "url(" not in html
    assert "@import" not in html


def test_the_policy_lets_run_just_the_pages_own_script_and_style(sluice: Sluice) -> None:
    page = sluice.get("/", headers=BROWSER)
    policy = dict(
        rule.strip().split(" ", 1) for rule in page.headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    for directive, tag in (("script-src", "script"), ("style-src", "style")):
        [inside] = re.findall(rf"<{tag}(?: [^>]*)?>(.*?)</{tag}>", page.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert policy[directive] == f"'sha256-{digest}'"


def test_no_text_ever_becomes_markup(sluice: Sluice) -> None:
    html = sluice.get("/", headers=BROWSER).text
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert way not in html
