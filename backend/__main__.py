"""`python -m backend`: check the settings, then serve with gunicorn."""

from __future__ import annotations

import sys
from pathlib import Path

from gunicorn.app.wsgiapp import WSGIApplication
from pydantic import ValidationError

from backend.settings import Settings

CONFIG = Path(__file__).resolve().parent.parent / "gunicorn.conf.py"


def main() -> int:
    """Serve until stopped. Returns 2, naming each wrong setting, when one makes no sense."""
    try:
        Settings()
    except ValidationError as error:
        for item in error.errors(include_url=False, include_input=False):
            name = ".".join(str(part) for part in item["loc"]).upper() or "settings"
            print(f"{name}: {item['msg'].removeprefix('Value error, ')}", file=sys.stderr)  # noqa: T201
        return 2
    sys.argv = ["gunicorn", "--config", str(CONFIG)]
    WSGIApplication("%(prog)s [OPTIONS] [APP_MODULE]").run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
