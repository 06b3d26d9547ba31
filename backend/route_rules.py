"""What holds for which route, by its blueprint: limits it counts against, the scope it needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Scope = Literal["generate", "read", "admin"]


@dataclass(frozen=True, slots=True)
class RouteRule:
    """`limits` are names of rate limits, `scope` what a key must allow; None: open to all."""

    limits: tuple[str, ...] = ("global",)
    scope: Scope | None = "read"


GENERATION = RouteRule(("generation", "global"), "generate")
OPEN = RouteRule((), None)

RULES: dict[str, RouteRule] = {
    "generation": GENERATION,
    "images": RouteRule(("images",)),
    "jobs": RouteRule(("jobs",)),
    "health": OPEN,
    "metrics": OPEN,
    "docs": OPEN,
    "web": OPEN,
    "sdapi_generation": GENERATION,
    "sdapi_progress": RouteRule(("jobs",)),
    "openai_generation": GENERATION,
}
"""Every other blueprint, and what no route matches, has the rule of `RouteRule()`."""


def rule_of(blueprint: str | None) -> RouteRule:
    """The rule for the routes of `blueprint`."""
    return RULES.get(blueprint or "", RouteRule())
