"""What is said once the service serves: where, with which engines, and a line to try."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from ai.pool import EngineStatus
from backend.api.translate import BASE_PATH

_EXAMPLE = '{"prompt": "a red circle on a blue background", "width": 256, "height": 256}'


def announce(base: str, engines: Sequence[EngineStatus], *, as_json: bool) -> None:
    """Print a few lines for a person at a terminal, or log one for machines."""
    listens = f"Sluice listens on {base}"
    if as_json:
        structlog.get_logger("sluice").info(listens, engines=[_facts(e) for e in engines])
    else:
        print(listens, *_banner(base, engines), sep="\n", flush=True)  # noqa: T201


def _facts(engine: EngineStatus) -> dict[str, str | None]:
    return {
        "name": engine.name,
        "state": engine.state,
        "tier": engine.tier,
        "checkpoint": engine.loaded,
    }


def _banner(base: str, engines: Sequence[EngineStatus]) -> list[str]:
    return [
        "Engines:",
        *(
            f"  {engine.name}: {engine.state}, {engine.tier.upper()} tier, "
            f"checkpoint {engine.loaded or 'not known yet'}"
            for engine in engines
        ),
        "Try it:",
        f"  curl {base}{BASE_PATH}/txt2img -o picture.png -H 'Accept: image/png' \\",
        f"    -H 'Content-Type: application/json' -d '{_EXAMPLE}'",
        f"API document: {base}/docs",
    ]
