"""What `make run` prints once it serves: where, with which engines, and a line to try."""

from __future__ import annotations

from collections.abc import Iterable

from ai.pool import EngineStatus
from backend.api.translate import BASE_PATH

_EXAMPLE = '{"prompt": "a red circle on a blue background", "width": 256, "height": 256}'


def banner(host: str, port: int, engines: Iterable[EngineStatus]) -> str:
    """A few lines for a person at a terminal."""
    shown = f"[{host}]" if ":" in host else host
    base = f"http://{shown}:{port}"
    lines = [f"Sluice listens on {base}", "Engines:"]
    lines += [
        f"  {engine.name}: {engine.state}, {engine.tier.upper()} tier, "
        f"checkpoint {engine.loaded or 'not known yet'}"
        for engine in engines
    ]
    lines += [
        "Try it:",
        f"  curl {base}{BASE_PATH}/txt2img -o picture.png -H 'Accept: image/png' \\",
        f"    -H 'Content-Type: application/json' -d '{_EXAMPLE}'",
        f"API document: {base}/docs",
    ]
    return "\n".join(lines)
