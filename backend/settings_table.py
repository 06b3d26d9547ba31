"""The README's table of settings, written from the settings themselves.

python -m backend.settings_table README.md
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from pydantic_core import PydanticUndefined

from backend.settings import Settings

BEGIN, END = "<!-- settings -->", "<!-- /settings -->"


def table() -> str:
    """A row for each setting: its variable, default and meaning."""
    rows = ["| Variable | Default | Meaning |", "|-|-|-|"]
    for name, field in Settings.model_fields.items():
        rows.append(f"| `{name.upper()}` | {_default(field.default)} | {field.description} |")
    return "\n".join(rows)


def with_table(readme: str) -> str:
    """`readme` with the table between its marks brought up to date."""
    block = f"{BEGIN}\n\n{table()}\n\n{END}"
    pattern = re.compile(f"{re.escape(BEGIN)}(.*{re.escape(END)})?", re.DOTALL)
    return pattern.sub(lambda _: block, readme, count=1)


def _default(value: object) -> str:
    if value is None or value == () or value is PydanticUndefined:
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float) and value.is_integer():
        return f"`{int(value)}`"
    return f"`{value}`"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_table(path.read_text()))
