"""Whose key came with a request, and whether it opens the route asked for."""

from __future__ import annotations

from flask import Flask, Request, request
from limits import parse

from backend.accounts.errors import KeyInvalid, KeyMissing, ScopeMissing
from backend.accounts.keys import ApiKey, Scope
from backend.accounts.known_keys import KnownKeys
from backend.callers import KEY, address_of
from backend.route_rules import rule_of
from backend.settings import Settings
from backend.windows import Windows
from backend.wrong_keys import WrongKeys

HEADER = "X-API-Key"


class Gate:
    """Asks for keys where AUTH=keys; lets everybody pass elsewhere.

    A key is looked at before wrong ones are counted, so that those who share an address with
    a guesser keep their access; what is guessed at are 256 random bits. While an address is
    refused no guess from there has the database read; a right key that was made or rotated
    just now is let in from there FRESH_S later, any other at once. Wrong keys are counted
    where other limits are off, too.
    """

    def __init__(self, settings: Settings, keys: KnownKeys, windows: Windows) -> None:
        self._keys = keys
        self._closed = settings.auth == "keys"
        self._wrong_keys = WrongKeys(parse(settings.ratelimit_wrong_keys), windows)

    def init_app(self, app: Flask) -> None:
        """Ask for a key with every request to `app` from here on."""
        if self._closed:
            app.before_request(self._admit)

    def _admit(self) -> None:
        scope = rule_of(request.blueprint).scope
        if scope is None:
            return
        key = self._key()
        if not key.may(scope):
            raise ScopeMissing(_without(scope))
        request.environ[KEY] = key

    def _key(self) -> ApiKey:
        text = text_in(request)
        if text is None:
            raise KeyMissing("Send an API key: X-API-Key, Authorization: Bearer, or Basic.")
        address = address_of(request)
        key = self._keys.owner_of(text, anew=not self._wrong_keys.is_refused(address))
        if key is None:
            self._wrong_keys.count(address)
            raise KeyInvalid("That API key is not valid, or no longer.")
        return key


def text_in(request: Request) -> str | None:
    """The key that came with `request`: by its own header, as bearer token, or by Basic.

    In Basic it is the password, or the user where there is no password.
    """
    own = request.headers.get(HEADER)
    if own:
        return own
    sent = request.authorization
    if sent is None:
        return None
    if sent.type == "bearer":
        return sent.token or None
    return sent.password or sent.username or None if sent.type == "basic" else None


def _without(scope: Scope) -> str:
    return f"This API key does not have the scope {scope!r}, which is needed here."
