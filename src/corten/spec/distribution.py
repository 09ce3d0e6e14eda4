"""What the OCI distribution specification says: names, paths, error codes, ranges, challenges, scopes, links.

Owns: the words of the registry protocol as values which parse and print.
Does no I/O and knows neither client nor server; both read it, so that they cannot disagree.
Read next: distribution/client.py (our client), registry/app.py (our server).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from corten.errors import Invalid
from corten.spec.digest import Digest

# <name> of the specification; a component never begins with an underscore, so a store may use such names itself.
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
NAME_LIMIT = 255


def is_name(text: str) -> bool:
    """Whether ``text`` can name a repository."""
    return len(text) <= NAME_LIMIT and NAME.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Whether ``text`` can be a tag."""
    return TAG.fullmatch(text) is not None


class ErrorCode(Enum):
    """The specification's error codes, with their HTTP status and text; the last two come with 5XX only."""

    BLOB_UNKNOWN = (404, "blob unknown to registry")
    BLOB_UPLOAD_INVALID = (400, "blob upload invalid")
    BLOB_UPLOAD_UNKNOWN = (404, "blob upload unknown to registry")
    DIGEST_INVALID = (400, "provided digest did not match uploaded content")
    MANIFEST_BLOB_UNKNOWN = (404, "manifest references a manifest or blob unknown to registry")
    MANIFEST_INVALID = (400, "manifest invalid")
    MANIFEST_UNKNOWN = (404, "manifest unknown")
    NAME_INVALID = (400, "invalid repository name")
    NAME_UNKNOWN = (404, "repository name not known to registry")
    SIZE_INVALID = (400, "provided length did not match content length")
    UNAUTHORIZED = (401, "authentication required")
    DENIED = (403, "requested access to the resource is denied")
    UNSUPPORTED = (405, "The operation is unsupported.")
    TOOMANYREQUESTS = (429, "too many requests")
    UNAVAILABLE = (503, "service unavailable")
    UNKNOWN = (500, "unknown error")

    @property
    def status(self) -> int:
        """The HTTP status that goes with the code."""
        return int(self.value[0])

    @property
    def text(self) -> str:
        """The message that goes with the code."""
        return str(self.value[1])


@dataclass(frozen=True, slots=True)
class ErrorDetail:
    """One entry of a registry's ``{"errors": […]}``."""

    code: str
    message: str = ""
    detail: Any = None

    def __str__(self) -> str:
        """As Docker prints it: ``manifest unknown: manifest unknown``."""
        label = self.code.replace("_", " ").lower()
        return f"{label}: {self.message}" if self.message else label


def parse_errors(body: bytes) -> tuple[ErrorDetail, ...]:
    """The errors of a response body; nothing when the body is of another kind (a proxy's HTML page, say)."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return ()
    if not isinstance(document, dict):
        return ()
    entries = document.get("errors")
    if not isinstance(entries, list):
        # Docker Hub's token service answers {"details": "…"}; others {"message": "…"}.
        text = document.get("details") or document.get("message") or document.get("error")
        return (ErrorDetail("UNKNOWN", str(text)),) if isinstance(text, str) else ()
    return tuple(
        ErrorDetail(str(entry.get("code", "UNKNOWN")), str(entry.get("message", "")), entry.get("detail"))
        for entry in entries
        if isinstance(entry, dict)
    )


def print_errors(errors: Iterable[ErrorDetail]) -> bytes:
    """The body that ``parse_errors`` reads."""
    entries = [
        {"code": error.code, "message": error.message} | ({} if error.detail is None else {"detail": error.detail})
        for error in errors
    ]
    return json.dumps({"errors": entries}).encode() + b"\n"


class Kind(Enum):
    """What a path below ``/v2/`` speaks of."""

    BASE = "base"
    CATALOG = "_catalog"
    SEARCH = "search"
    MANIFEST = "manifests"
    BLOB = "blobs"
    UPLOADS = "uploads"
    UPLOAD = "upload"
    TAGS = "tags"
    REFERRERS = "referrers"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path of the API taken apart; ``parse`` and ``str`` are inverse."""

    kind: Kind
    name: str = ""
    argument: str = ""

    @classmethod
    def parse(cls, path: str) -> Endpoint | None:
        """The endpoint that ``path`` names, or None.  Names are not checked: an invalid one is an error to tell."""
        if path in ("/v2/", "/v2"):
            return cls(Kind.BASE)
        if path == "/v2/_catalog":
            return cls(Kind.CATALOG)
        if path == "/v1/search":
            return cls(Kind.SEARCH)
        if not path.startswith("/v2/"):
            return None
        head, _, last = path[4:].rpartition("/")
        if head.endswith("/blobs/uploads"):
            name = head.removesuffix("/blobs/uploads")
            return cls(Kind.UPLOAD, name, last) if last else cls(Kind.UPLOADS, name)
        name, _, noun = head.rpartition("/")
        if not name or not last:
            return None
        if noun == "blobs":  # some clients leave the final slash of blobs/uploads/ away
            return cls(Kind.UPLOADS, name) if last == "uploads" else cls(Kind.BLOB, name, last)
        if noun == "tags":
            return cls(Kind.TAGS, name) if last == "list" else None
        if noun in ("manifests", "referrers"):
            return cls(Kind(noun), name, last)
        return None

    def __str__(self) -> str:
        match self.kind:
            case Kind.BASE:
                return "/v2/"
            case Kind.CATALOG:
                return "/v2/_catalog"
            case Kind.SEARCH:
                return "/v1/search"
            case Kind.TAGS:
                return f"/v2/{self.name}/tags/list"
            case Kind.UPLOADS | Kind.UPLOAD:
                return f"/v2/{self.name}/blobs/uploads/{self.argument}"
            case _:
                return f"/v2/{self.name}/{self.kind.value}/{self.argument}"


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A span of bytes, both ends included."""

    first: int
    last: int

    @property
    def size(self) -> int:
        """How many bytes the span holds."""
        return self.last - self.first + 1

    @classmethod
    def parse_chunk(cls, text: str) -> ByteRange:
        """An upload's ``Content-Range: 0-99`` (some clients write ``bytes 0-99/*``)."""
        found = re.fullmatch(r"(?:bytes[ =])?([0-9]{1,19})-([0-9]{1,19})(?:/(?:[0-9]+|\*))?", text.strip())
        if found is None:
            raise Invalid(f"invalid content range: {text!r}")
        span = cls(int(found[1]), int(found[2]))
        if span.size < 0:
            raise Invalid(f"invalid content range: {text!r}")
        return span

    @classmethod
    def parse_request(cls, text: str, total: int) -> ByteRange | None:
        """A ``Range: bytes=…`` header against an object of ``total`` bytes.

        None when the header is to be ignored (another unit, several spans); raises Invalid when it cannot be met.
        """
        found = re.fullmatch(r"\s*bytes\s*=\s*([0-9]{0,19})\s*-\s*([0-9]{0,19})\s*", text)
        if found is None or (not found[1] and not found[2]):
            return None
        if not found[1]:
            first, last = max(0, total - int(found[2])), total - 1
        else:
            first, last = int(found[1]), min(int(found[2]), total - 1) if found[2] else total - 1
            if found[2] and int(found[2]) < first:
                return None
        if first >= total or first > last:
            raise Invalid(f"range {text!r} is not within {total} bytes")
        return cls(first, last)

    @classmethod
    def parse_response(cls, text: str) -> tuple[ByteRange, int | None]:
        """A response's ``Content-Range: bytes 0-99/100`` and the total where it is told."""
        found = re.fullmatch(r"\s*bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)\s*", text)
        if found is None:
            raise Invalid(f"invalid content range: {text!r}")
        return cls(int(found[1]), int(found[2])), None if found[3] == "*" else int(found[3])

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge of a ``WWW-Authenticate`` header: a scheme and its parameters (RFC 9110, 11.6.1)."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        quoted = (f'{name}="{_escape(value)}"' for name, value in self.parameters.items())
        return f"{self.scheme} {','.join(quoted)}".rstrip()

    @property
    def is_bearer(self) -> bool:
        """Whether a token is asked for."""
        return self.scheme.lower() == "bearer"

    @property
    def is_basic(self) -> bool:
        """Whether a user name and a password are asked for."""
        return self.scheme.lower() == "basic"


_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(rf'({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))')
_SCHEME = re.compile(rf"({_TOKEN})(?=\s|,|$)")


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """The challenges of one header value, several if the server offers a choice; what cannot be read is passed over."""
    challenges: list[tuple[str, dict[str, str]]] = []
    position = 0
    while position < len(header):
        if header[position] in " \t,":
            position += 1
        elif challenges and (found := _PARAMETER.match(header, position)):
            value = re.sub(r"\\(.)", r"\1", found[2]) if found[2] is not None else found[3]
            challenges[-1][1][found[1].lower()] = value
            position = found.end()
        elif found := _SCHEME.match(header, position):
            challenges.append((found[1], {}))
            position = found.end()
        else:
            following = header.find(",", position)
            position = len(header) if following < 0 else following + 1
    return tuple(Challenge(scheme, parameters) for scheme, parameters in challenges)


def basic_credentials(user: str, password: str) -> str:
    """The value of an ``Authorization`` header (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Scope:
    """What a token is for: ``repository:library/busybox:pull,push``."""

    kind: str
    name: str
    actions: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> Scope:
        """Read one scope; the name may hold colons (a registry's port), so kind and actions are cut from the ends."""
        kind, colon, rest = text.partition(":")
        name, second, actions = rest.rpartition(":")
        if not (kind and colon and name and second):
            raise Invalid(f"invalid scope: {text!r}")
        return cls(kind, name, frozenset(action for action in actions.split(",") if action))

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}:{','.join(sorted(self.actions))}"

    def covers(self, other: Scope) -> bool:
        """Whether everything that ``other`` allows is allowed here."""
        return self.kind == other.kind and self.name == other.name and other.actions <= self.actions


def next_link(header: str | None) -> str | None:
    """The target of ``rel="next"`` in a ``Link`` header (RFC 5988)."""
    for target, parameters in re.findall(r"<([^>]*)>((?:\s*;[^,]*)?)", header or ""):
        if re.search(r';\s*rel\s*=\s*"?next"?\s*(?:;|$)', parameters, re.IGNORECASE):
            return str(target)
    return None


def referrers_tag(subject: Digest) -> str:
    """The tag under which referrers of ``subject`` are listed on registries without the referrers API."""
    text = f"{subject.algorithm[:32]}-{subject.hex[:64]}"
    return re.sub(r"[^a-zA-Z0-9._-]", "-", text)
