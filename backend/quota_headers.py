"""RateLimit headers that tell of jobs at once and of budgets, beside those of requests."""

from __future__ import annotations

import math

from flask import Flask, Request, Response

from backend.accounts.admission import Admission, Policy
from backend.callers import caller_of
from backend.here import served
from backend.jobs.records import LedgerUnavailable
from backend.route_rules import rule_of


def init_app(app: Flask, admission: Admission) -> None:
    """Tell them where work is asked for; to be called before what sets the headers is."""

    def tell(response: Response) -> Response:
        request = served()
        counted = "generation" in rule_of(request.blueprint).limits
        if counted and response.status_code not in (401, 403):
            _tell(request, response, admission)
        return response

    app.after_request(tell)


def _tell(request: Request, response: Response, admission: Admission) -> None:
    try:
        policies = admission.policies(caller_of(request))
    except LedgerUnavailable:
        return
    if policies:
        _add(response, "RateLimit-Policy", ", ".join(map(_policy, policies)))
        _add(response, "RateLimit", ", ".join(map(_state, policies)))


def _add(response: Response, name: str, items: str) -> None:
    before = response.headers.get(name)
    response.headers[name] = f"{before}, {items}" if before else items


def _policy(policy: Policy) -> str:
    window = "" if policy.window_s is None else f";w={policy.window_s}"
    return f'"{policy.name}";q={math.floor(policy.quota)}{window};qu="{policy.unit}"'


def _state(policy: Policy) -> str:
    resets = "" if policy.resets_in_s is None else f";t={math.ceil(policy.resets_in_s)}"
    return f'"{policy.name}";r={math.floor(policy.remaining)}{resets}'
