"""What no engine does is told at the field that asks for it, not at the checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ai.errors import UnsupportedRequest
from ai.generation import Work
from ai.tools import Tool
from backend.compat.sdapi.render import WHOLE_BODY

_FIELD_OF: Mapping[str, str] = {
    "clip_skip": "override_settings.CLIP_stop_at_last_layers",
    "vae": "override_settings.sd_vae",
    "hires": "enable_hr",
    "control": "alwayson_scripts",
    "details": "alwayson_scripts",
}
"""Where the WebUI's word for an extra is not our own."""


@contextmanager
def told_at_its_field(asked: Work) -> Iterator[None]:
    """UnsupportedRequest at the first field of `asked` that wants what is missing, or at none."""
    try:
        yield
    except UnsupportedRequest as error:
        extras = None if isinstance(asked, Tool) else asked.extras
        wanted = extras.wanted if extras else {}
        names = (name for name, skill in wanted.items() if skill in error.missing)
        name = next(names, WHOLE_BODY)
        raise UnsupportedRequest(_FIELD_OF.get(name, name), error.message) from None
