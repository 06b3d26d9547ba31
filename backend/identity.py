"""Whose key came with a request, and whether it opens the route asked for."""

from __future__ import annotations

import time

from flask import Flask, Request, request
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from backend.accounts.errors import KeyInvalid, KeyMissing, ScopeMissing, TooManyWrongKeys
from backend.accounts.keys import ApiKey, Scope
from backend.accounts.known_keys import KnownKeys
from backend.callers import KEY, address_of
from backend.route_rules import rule_of
from backend.settings import Settings

HEADER = "X-API-Key"


class Gate:
    """Asks for keys where AUTH=keys; lets everybody pass elsewhere.

    A key is looked at before wrong ones are counted, so that those who share an address with
    a guesser keep their access; what is guessed at are 256 random bits. Each process counts
    by itself.
    """

    def __init__(self, settings: Settings, keys: KnownKeys) -> None:
        self._keys = keys
        self._closed = settings.auth == "keys"
        self._wrong_keys = parse(settings.ratelimit_wrong_keys)
        self._counting = settings.ratelimit_enabled
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

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
        key = self._keys.owner_of(text)
        if key is None:
            self._count_wrong_key()
            raise KeyInvalid("That API key is not valid, or no longer.")
        return key

    def _count_wrong_key(self) -> None:
        address = address_of(request)
        if self._counting and not self._limiter.hit(self._wrong_keys, address):
            resets_at = self._limiter.get_window_stats(self._wrong_keys, address).reset_time
            raise TooManyWrongKeys(max(1.0, resets_at - time.time()))


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
