"""What holds for which route, by its blueprint: limits it counts against, the scope it needs."""

from __future__ import annotations

from dataclasses import dataclass

from backend.accounts.keys import Scope


@dataclass(frozen=True, slots=True)
class RouteRule:
    """`limits` are names of rate limits, `scope` what a key must allow; None: open to all."""

    limits: tuple[str, ...] = ("global",)
    scope: Scope | None = "read"


GENERATION = RouteRule(("generation", "global"), "generate")
OPEN = RouteRule((), None)
_OTHERS = RouteRule()

RULES: dict[str, RouteRule] = {
    "generation": GENERATION,
    "images": RouteRule(("images",), None),
    "image_deletion": RouteRule(("images",), "generate"),
    "jobs": RouteRule(("jobs",)),
    "account": RouteRule(("jobs",)),
    "health": OPEN,
    "metrics": OPEN,
    "docs": OPEN,
    "web": OPEN,
    "sdapi_generation": GENERATION,
    "sdapi_progress": RouteRule(("jobs",)),
    "openai_generation": GENERATION,
}
"""Every other blueprint, and what no route matches, has the rule of `_OTHERS`.

An image's id is as hard to guess as a key, so that whoever was given its URL may fetch it:
browsers, the receivers of webhooks and OpenAI's clients send no key then. Metrics tell of no
caller, prompt or key.
"""


def rule_of(blueprint: str | None) -> RouteRule:
    """The rule for the routes of `blueprint`."""
    return RULES.get(blueprint or "", _OTHERS)
