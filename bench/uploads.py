"""img2img with pictures of 1 and 8 MB, as JSON and as a form."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from bench import contestants, dialects
from bench.comparison import comparison_table, figures_of
from bench.plan import Plan
from bench.report import Part
from bench.rounds import Entry, Turns, take_turns
from bench.upstream import Upstream, upstream
from tests.fake_webui_pictures import encode_noise

UPLOADS = {1: 710, 8: 2010}
"""Sides in pixels of the pictures sent up, by their size in MB; all of a result of 512x512."""
RESULT = 512


def run(plan: Plan) -> Part:
    room = plan.room("uploads")
    found: dict[str, Turns] = {}
    with upstream(room) as source, ExitStack() as stack:
        served = _served(stack, source, room)
        for size_mb, side in UPLOADS.items():
            picture = encode_noise(side, side)
            found[f"{size_mb} MB"] = take_turns(
                _entries(served, picture), connections=1, rounds=plan.rounds, seconds=plan.seconds
            )
    tables = [
        comparison_table(f"img2img, a picture of {size} sent, one at a time", 1, turns)
        for size, turns in found.items()
    ]
    return Part("uploads", tables, figures={s: figures_of(turns) for s, turns in found.items()})


def _served(stack: ExitStack, source: Upstream, room: Path) -> dict[str, contestants.Contestant]:
    started = [
        *stack.enter_context(contestants.direct(source)),
        *stack.enter_context(contestants.nginx_proxy(source, room)),
        *stack.enter_context(contestants.plain_flask(source, room)),
        *stack.enter_context(contestants.sluice(source, room)),
    ]
    return {each.name: each for each in started}


def _entries(served: dict[str, contestants.Contestant], picture: bytes) -> list[Entry]:
    asked = {
        contestants.DIRECT: dialects.webui_img2img,
        contestants.NGINX: dialects.webui_img2img,
        contestants.PLAIN: dialects.ours_img2img,
        contestants.SLUICE: dialects.ours_img2img,
        contestants.SLUICE_SDAPI: dialects.webui_img2img,
    }
    entries = []
    for name, dialect in asked.items():
        if name in served:
            each = served[name]
            entries.append(Entry(name, each.port, (each.pid,), dialect(picture, RESULT)))
    for name in (contestants.PLAIN, contestants.SLUICE):
        each, form = served[name], dialects.ours_img2img_form(picture, RESULT)
        entries.append(Entry(f"{name}, form", each.port, (each.pid,), form))
    return entries
