"""`python -m backend [command]`: serve, or one of the commands beside it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from gunicorn.app.wsgiapp import WSGIApplication
from pydantic import ValidationError

from backend import check
from backend.accounts import commands as keys
from backend.settings import Settings, complaints

CONFIG = Path(__file__).resolve().parent.parent / "gunicorn.conf.py"


def serve(_arguments: Sequence[str]) -> int:
    """Serve until stopped. Returns 2, naming each wrong setting, when one makes no sense."""
    try:
        Settings()
    except ValidationError as error:
        print(*complaints(error), sep="\n", file=sys.stderr)  # noqa: T201
        return 2
    sys.argv = ["gunicorn", "--config", str(CONFIG)]
    WSGIApplication("%(prog)s [OPTIONS] [APP_MODULE]").run()
    return 0


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "serve": serve,
    "check": check.main,
    "keys": keys.main,
}
"""By name; each takes the arguments after it and returns the exit status."""


def main(arguments: Sequence[str]) -> int:
    """Carry out the command that `arguments` begin with, `serve` without any."""
    name, *rest = arguments or ["serve"]
    command = COMMANDS.get(name)
    if command is None:
        print(f"No command {name!r}; there are: {', '.join(COMMANDS)}", file=sys.stderr)  # noqa: T201
        return 2
    return command(rest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
