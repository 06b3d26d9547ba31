"""GET /account: who the caller is here, and how he stands with his limits."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

import orjson
from flask import Blueprint, Response, request
from pydantic import BaseModel, Field

from backend.accounts.keys import SCOPES, Scope
from backend.callers import caller_of, key_of
from backend.services import Services


class LimitAnswer(BaseModel):
    """A limit on jobs at once, or on work within a window."""

    name: str
    unit: str = Field(description="concurrent-requests or megapixel-steps")
    quota: float
    remaining: float
    window_s: int | None = None
    resets_in_s: float | None = Field(None, description="Seconds until some of it is free again")


class AccountAnswer(BaseModel):
    """The caller; what a key allows stands there where one was asked for."""

    caller: str = Field(description="key:<id>, or the address")
    name: str | None = None
    scopes: list[Scope] | None = None
    checkpoints: list[str] | None = Field(None, description="Absent: all")
    expires_at: datetime | None = None
    limits: list[LimitAnswer]


def blueprint(services: Services) -> Blueprint:
    """The callers of `services`, each told of himself."""
    routes = Blueprint("account", __name__)

    @routes.get("/account")
    def account() -> Response:
        caller, key = caller_of(request), key_of(request)
        answer = AccountAnswer(
            caller=caller,
            name=key.name if key else None,
            scopes=[scope for scope in SCOPES if scope in key.scopes] if key else None,
            checkpoints=list(key.checkpoints) or None if key else None,
            expires_at=key.expires_at if key else None,
            limits=[LimitAnswer(**asdict(p)) for p in services.admission.policies(caller)],
        )
        body = orjson.dumps(answer.model_dump(exclude_none=True))
        response = Response(body, mimetype="application/json")
        response.headers["Cache-Control"] = "no-store"
        return response

    return routes
