"""`python -m backend keys`: make, list, revoke and rotate API keys at the terminal."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import get_args

from limits import parse_many
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from backend.accounts.keys import SCOPES, ApiKey, Scope
from backend.accounts.register import KeyRegister
from backend.jobs.database import open_database
from backend.jobs.records import LedgerUnavailable
from backend.settings import Settings, complaints

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
LONGEST_NAME = 100
NO_SUCH_KEY = "there is no such key, or it was revoked"


def main(arguments: Sequence[str]) -> int:
    """`python -m backend keys ARGUMENTS` on the database of the settings; the exit status."""
    try:
        settings = Settings()
        url = settings.database_url
        database = open_database(url.get_secret_value() if url else None, settings.data_dir)
    except ValidationError as error:
        return _failed("\n".join(complaints(error)), 2)
    except SQLAlchemyError:
        return _failed("The database cannot be reached.")
    try:
        return run(KeyRegister(database), arguments)
    except LedgerUnavailable as error:
        return _failed(str(error))
    finally:
        database.dispose()


def run(register: KeyRegister, arguments: Sequence[str]) -> int:
    """Carry out `keys ARGUMENTS`. Returns the exit status: 1 without such a usable key."""
    asked = _parser().parse_args(arguments)
    status: int = asked.do(register, asked)
    return status


def _create(register: KeyRegister, asked: argparse.Namespace) -> int:
    now = datetime.now(UTC)
    draft = ApiKey(
        id="",
        name=asked.name,
        digest="",
        scopes=asked.scopes,
        checkpoints=asked.checkpoints,
        requests=asked.requests,
        max_jobs=asked.max_jobs,
        budget_hour=asked.budget_hour,
        budget_day=asked.budget_day,
        created_at=now,
        expires_at=None if asked.expires is None else now + asked.expires,
    )
    key, text = register.add(draft)
    _tell_text(key.id, text)
    return 0


def _rotate(register: KeyRegister, asked: argparse.Namespace) -> int:
    text = register.rotate(asked.id, asked.grace)
    if text is None:
        return _failed(_why_not(register.get(asked.id)))
    _tell_text(asked.id, text)
    return 0


def _revoke(register: KeyRegister, asked: argparse.Namespace) -> int:
    return 0 if register.revoke(asked.id) else _failed(NO_SUCH_KEY)


def _list(register: KeyRegister, _asked: argparse.Namespace) -> int:
    row = "{:<8}  {:<24}  {:<19}  {:<8}  {:<16}  {}"
    _say(row.format("ID", "NAME", "SCOPES", "STATE", "EXPIRES", "ALLOWS"))
    for key in register.all():
        expires = f"{key.expires_at:%Y-%m-%d %H:%M}" if key.expires_at else "never"
        scopes = ",".join(scope for scope in SCOPES if scope in key.scopes)
        _say(row.format(key.id, key.name, scopes, _state(key), expires, _allowance(key)).rstrip())
    return 0


def _state(key: ApiKey) -> str:
    if key.revoked_at:
        return "revoked"
    return "usable" if key.is_usable else "expired"


def _why_not(key: ApiKey | None) -> str:
    if key is None or key.is_usable or key.expires_at is None or key.revoked_at:
        return NO_SUCH_KEY
    return f"that key expired at {key.expires_at:%Y-%m-%d %H:%M} UTC; create another"


def _allowance(key: ApiKey) -> str:
    """Its own limits, in the words of `create`."""
    own = {
        "checkpoints": ",".join(key.checkpoints) or None,
        "requests": key.requests,
        "jobs": key.max_jobs,
        "hour": key.budget_hour,
        "day": key.budget_day,
    }
    return " ".join(f"{name}={value}" for name, value in own.items() if value is not None)


def _tell_text(key_id: str, text: str) -> None:
    _say(text)
    print(f"Key {key_id}: keep it now, it is not shown again.", file=sys.stderr)  # noqa: T201


def _say(line: str) -> None:
    print(line)  # noqa: T201


def _failed(message: str, status: int = 1) -> int:
    print(message, file=sys.stderr)  # noqa: T201
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m backend keys", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_create(commands.add_parser("create", help="make a key and print it, once"))
    listing = commands.add_parser("list", help="every key, without its text")
    listing.set_defaults(do=_list)
    revoke = commands.add_parser("revoke", help="end a key, within 5 s everywhere")
    revoke.add_argument("id", help="as `list` shows it")
    revoke.set_defaults(do=_revoke)
    rotate = commands.add_parser("rotate", help="give a key a new text and print it, once")
    rotate.add_argument("id", help="as `list` shows it")
    rotate.add_argument(
        "--grace", type=_time, default=timedelta(), help="how long the old text is good still: 1h"
    )
    rotate.set_defaults(do=_rotate)
    return parser


def _add_create(create: argparse.ArgumentParser) -> None:
    create.add_argument("name", type=_name, help="who or what it is for")
    create.add_argument("--scopes", type=_scopes, default="generate,read", help=",".join(SCOPES))
    create.add_argument("--expires", type=_time, help="after how long: 12h, 90d")
    create.add_argument(
        "--checkpoints", type=_names, default=(), help="only these, comma-separated names"
    )
    create.add_argument(
        "--requests", type=_rate, help='instead of RATELIMIT_GENERATION and _GLOBAL: "100/minute"'
    )
    create.add_argument(
        "--jobs", type=_count, dest="max_jobs", help="at once, for MAX_JOBS_PER_CALLER; 0: any"
    )
    create.add_argument(
        "--hour", type=_work, dest="budget_hour", help="megapixel-steps, for BUDGET_HOUR; 0: any"
    )
    create.add_argument(
        "--day", type=_work, dest="budget_day", help="megapixel-steps, for BUDGET_DAY; 0: any"
    )
    create.set_defaults(do=_create)


def _name(text: str) -> str:
    if not text.strip() or not text.isprintable() or len(text) > LONGEST_NAME:
        raise argparse.ArgumentTypeError(f"must be 1 to {LONGEST_NAME} printable characters")
    return text


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise argparse.ArgumentTypeError("must be names with commas between them")
    return names


def _scopes(text: str) -> frozenset[Scope]:
    named = frozenset(_names(text))
    if not named <= set(get_args(Scope)):
        raise argparse.ArgumentTypeError(f"must be some of {','.join(SCOPES)}")
    return frozenset(scope for scope in SCOPES if scope in named)


def _time(text: str) -> timedelta:
    number, unit = text[:-1], text[-1:]
    if unit not in UNITS_S or not number.isascii() or not number.isdigit() or len(number) > 6:
        raise argparse.ArgumentTypeError("must be a number and s, m, h or d: 90d")
    return timedelta(seconds=int(number) * UNITS_S[unit])


def _rate(text: str) -> str:
    try:
        parse_many(text)
    except ValueError:
        raise argparse.ArgumentTypeError('must be like "100/minute;1000/hour"') from None
    return text


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise argparse.ArgumentTypeError("must be a whole number, 0 or more")
    return int(text)


def _work(text: str) -> float:
    try:
        work = float(text)
    except ValueError:
        work = -1.0
    if not 0 <= work <= 1e9:
        raise argparse.ArgumentTypeError("must be a number of megapixel-steps, 0 or more")
    return work
