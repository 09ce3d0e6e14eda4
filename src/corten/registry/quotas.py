"""How many bytes a repository may hold.

A blob counts in each repository that holds it, whether or not its bytes are shared: that is what its owner can see.
"""

from __future__ import annotations

from corten.registry.access import matches
from corten.registry.config import QuotaRule
from corten.registry.faults import Refused
from corten.registry.repositories import Repository
from corten.spec.distribution import ErrorCode


class Quotas:
    """The rules; the first that matches counts."""

    def __init__(self, rules: tuple[QuotaRule, ...]) -> None:
        self._rules = rules

    def limit(self, name: str) -> int | None:
        """The bytes that the repository may hold; None is without bound."""
        return next((rule.limit for rule in self._rules if matches(rule.repositories, name)), None)

    async def room(self, repository: Repository) -> int | None:
        """The bytes that still fit."""
        limit = self.limit(repository.name)
        return None if limit is None else max(0, limit - await repository.usage())

    async def check(self, repository: Repository, size: int) -> None:
        """Refuse when ``size`` more bytes do not fit."""
        room = await self.room(repository)
        if room is not None and size > room:
            raise self.refusal(repository)

    def refusal(self, repository: Repository) -> Refused:
        """What to answer to what does not fit."""
        limit = self.limit(repository.name)
        return Refused(ErrorCode.DENIED, f"quota exceeded: {repository.name} may hold {limit} bytes")
