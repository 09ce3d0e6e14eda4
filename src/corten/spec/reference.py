"""The image reference: registry, repository, tag, digest, with Docker's defaults filled in.

Owns: the grammar (distribution/reference) and the familiar short form.  Knows nothing of what a name resolves to:
read store/images.py for local images, distribution/ for registries.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from corten.errors import Invalid
from corten.spec.digest import Digest

DEFAULT_REGISTRY = "docker.io"
LEGACY_DEFAULT_REGISTRY = "index.docker.io"
OFFICIAL = "library/"
DEFAULT_TAG = "latest"
NAME_MAX = 255

# reference := name [ ":" tag ] [ "@" digest ];  name := [domain "/"] component *["/" component]
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"

_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*\Z")
_REGISTRY = re.compile(rf"{_DOMAIN}\Z")
_TAG_ONLY = re.compile(rf"{_TAG}\Z")
_HEX_ID = re.compile(r"[a-f0-9]{64}\Z")

BAD_FORMAT = "invalid reference format"


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """``registry/repository:tag@digest``; one that exists is well-formed."""

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    def __post_init__(self) -> None:
        if not _REGISTRY.match(self.registry) or not _REPOSITORY.match(self.repository):
            raise Invalid(BAD_FORMAT)
        if len(self.repository) > NAME_MAX:
            raise Invalid(f"repository name must not be more than {NAME_MAX} characters")
        if self.tag is not None and not _TAG_ONLY.match(self.tag):
            raise Invalid(BAD_FORMAT)

    @classmethod
    def parse(cls, text: str, *, default_tag: str | None = DEFAULT_TAG) -> Reference:
        """What a user means by ``text``; a name with neither tag nor digest gets ``default_tag``."""
        if _HEX_ID.match(text):
            raise Invalid(f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")
        name, digest = _split_digest(text)
        registry, remainder = _split_registry(name)
        repository, colon, tag = remainder.partition(":")
        if registry == DEFAULT_REGISTRY and "/" not in repository:
            repository = OFFICIAL + repository
        if repository != repository.lower():
            raise Invalid(f"{BAD_FORMAT}: repository name ({repository[:NAME_MAX]}) must be lowercase")
        if colon and not tag:
            raise Invalid(BAD_FORMAT)
        return cls(registry, repository, tag or (None if digest else default_tag), digest)

    def __str__(self) -> str:
        return self.name + self._suffix()

    def familiar(self) -> str:
        """As people write it: ``busybox:latest``."""
        return self.familiar_name + self._suffix()

    @property
    def name(self) -> str:
        """``registry/repository``."""
        return f"{self.registry}/{self.repository}"

    @property
    def familiar_name(self) -> str:
        """The name without the default registry and its ``library/``."""
        if self.registry != DEFAULT_REGISTRY:
            return self.name
        official = self.repository.removeprefix(OFFICIAL)
        return self.repository if "/" in official else official

    def with_tag(self, tag: str | None) -> Reference:
        """The same name with ``tag`` and no digest."""
        return replace(self, tag=tag, digest=None)

    def with_digest(self, digest: Digest | None) -> Reference:
        """The same name with ``digest`` and no tag."""
        return replace(self, tag=None, digest=digest)

    def _suffix(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return tag + (f"@{self.digest}" if self.digest else "")


def _split_digest(text: str) -> tuple[str, Digest | None]:
    name, at, digest = text.partition("@")
    if not at:
        return name, None
    try:
        return name, Digest.parse(digest)
    except Invalid:
        raise Invalid(BAD_FORMAT) from None


def _split_registry(name: str) -> tuple[str, str]:
    """The registry, when the first component looks like one: a dot, a colon, a capital, or localhost."""
    first, slash, rest = name.partition("/")
    if not slash or not (re.search(r"[.:\[]", first) or first == "localhost" or first != first.lower()):
        return DEFAULT_REGISTRY, name
    if first == LEGACY_DEFAULT_REGISTRY:
        first = DEFAULT_REGISTRY
    return first, rest
