"""Which actor may do what to which repository.  Pure.

Without rules, whoever has a password may do everything.  With rules, only what one of them allows is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from corten.registry.config import ACTIONS, AccessRule, AuthOptions

ANONYMOUS = "anonymous"


def matches(patterns: Iterable[str], name: str) -> bool:
    """Whether one of the patterns is the name's: ``*`` is within a component, ``**`` across them."""
    return any(_compiled(pattern).fullmatch(name) for pattern in patterns)


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    pieces = re.split(r"(\*\*|\*)", pattern)
    return re.compile("".join({"**": ".*", "*": "[^/]*"}.get(piece, re.escape(piece)) for piece in pieces))


def allowed(rules: tuple[AccessRule, ...], options: AuthOptions, user: str, name: str) -> frozenset[str]:
    """What ``user`` may do to the repository ``name``."""
    actions: set[str] = set()
    if user == ANONYMOUS:
        if options.anonymous_pull:
            actions.add("pull")
    elif not rules:
        return ACTIONS
    for rule in rules:
        known = user != ANONYMOUS and "*" in rule.users
        if (known or user in rule.users) and matches(rule.repositories, name):
            actions.update(rule.actions)
    return frozenset(actions)
