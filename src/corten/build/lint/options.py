"""Which checks run: ``# check=skip=RuleA,RuleB;error=true`` in the file, BUILDKIT_DOCKERFILE_CHECK, comments.  Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from corten.build.dockerfile.go import parse_bool, quote
from corten.build.lint.rules import Rule
from corten.errors import Invalid

ALL = "all"


@dataclass(frozen=True, slots=True)
class Options:
    """``skip`` and ``experimental`` may hold "all"."""

    skip: frozenset[str] = frozenset()
    experimental: frozenset[str] = frozenset()
    is_error: bool = False

    @classmethod
    def parse(cls, text: str) -> Options:
        """Raises Invalid in BuildKit's words."""
        sets: dict[str, frozenset[str]] = {}
        is_error = False
        for part in text.strip().split(";", 2) if text.strip() else ():
            name, equals, value = part.partition("=")
            if not equals:
                raise Invalid(f"invalid check option {quote(part)}")
            if name.strip() in ("skip", "experimental"):
                sets[name.strip()] = frozenset(rule.strip() for rule in value.split(","))
            elif name.strip() == "error":
                flag = parse_bool(value.strip())
                if flag is None:
                    raise Invalid(f"failed to parse check option {quote(part)}")
                is_error = flag
            else:
                raise Invalid(f"invalid check option {quote(name.strip())}")
        return cls(sets.get("skip", frozenset()), sets.get("experimental", frozenset()), is_error)

    def merged(self, other: Options) -> Options:
        return Options(self.skip | other.skip, self.experimental | other.experimental, self.is_error)

    def for_comments(self, comments: Iterable[str]) -> Options:
        """``# check=skip=…`` right above an instruction counts for that one."""
        for comment in comments:
            name, equals, value = comment.partition("=")
            if equals and name.strip().lower() == "check":
                try:
                    return self.merged(Options.parse(value.strip().partition(" ")[0]))
                except Invalid:
                    return self
        return self

    def allows(self, rule: Rule) -> bool:
        if rule.is_experimental:
            return ALL in self.experimental or rule.name in self.experimental
        return ALL not in self.skip and rule.name not in self.skip
