"""Who a user string means inside a root: /etc/passwd and /etc/group as Docker reads them.

Parsing and resolving are pure; ``identify`` reads the two files beneath the root and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

from corten.errors import Invalid
from corten.kernel.paths import Root
from corten.spec.runtime import User

_MAX_ID = 2**31 - 1
_MAX_FILE = 4 << 20  # a hostile image may hold anything


@dataclass(frozen=True, slots=True)
class PasswdEntry:
    """A line of passwd(5)."""

    name: str
    uid: int
    gid: int
    home: str


@dataclass(frozen=True, slots=True)
class GroupEntry:
    """A line of group(5)."""

    name: str
    gid: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Identity:
    """What the process will be."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    home: str = "/"


def parse_passwd(text: str) -> list[PasswdEntry]:
    """Lines that make no sense are left out, as the C library does."""
    entries = []
    for line in text.splitlines():
        fields = line.strip().split(":")
        if len(fields) >= 4 and not line.startswith("#") and fields[2].isdecimal() and fields[3].isdecimal():
            home = fields[5] if len(fields) > 5 else ""
            entries.append(PasswdEntry(fields[0], int(fields[2]), int(fields[3]), home))
    return entries


def parse_group(text: str) -> list[GroupEntry]:
    """Likewise."""
    entries = []
    for line in text.splitlines():
        fields = line.strip().split(":")
        if len(fields) >= 3 and not line.startswith("#") and fields[2].isdecimal():
            members = fields[3].split(",") if len(fields) > 3 else []
            entries.append(GroupEntry(fields[0], int(fields[2]), tuple(name for name in members if name)))
    return entries


def resolve(user: User, passwd: list[PasswdEntry], groups: list[GroupEntry]) -> Identity:
    """Docker's rules: names before numbers; a number without an entry stands for itself, with group 0."""
    if user.name:
        identity = _resolve_name(user.name, passwd, groups)
    else:
        entry = next((each for each in passwd if each.uid == user.uid), None)
        identity = Identity(user.uid, user.gid, (), entry.home if entry else "/")
    extra = tuple(_group_id(each, groups) for each in user.groups)
    # The first group is among the others too: who lacks it there could get by files that deny just that group.
    merged = tuple(dict.fromkeys((identity.gid, *identity.groups, *extra)))
    return Identity(identity.uid, identity.gid, merged, identity.home or "/")


def _resolve_name(text: str, passwd: list[PasswdEntry], groups: list[GroupEntry]) -> Identity:
    user_text, colon, group_text = text.partition(":")
    number = _number(user_text)
    entry = next((each for each in passwd if each.name == user_text), None)
    if entry is None and number is not None:
        entry = next((each for each in passwd if each.uid == number), None)
    if entry is None and number is None and user_text:
        raise Invalid(f"unable to find user {user_text}: no matching entries in passwd file")
    uid = entry.uid if entry else number or 0
    gid = entry.gid if entry else 0
    home = entry.home if entry else "/"
    if colon and group_text:
        return Identity(uid, _explicit_group(group_text, groups), (), home)
    name = entry.name if entry else ""
    supplementary = tuple(each.gid for each in groups if name and name in each.members)
    return Identity(uid, gid, supplementary, home)


def _explicit_group(text: str, groups: list[GroupEntry]) -> int:
    number = _group_number(text, groups)
    if number is None:
        raise Invalid(f"unable to find group {text}: no matching entries in group file")
    return number


def _group_id(group: int | str, groups: list[GroupEntry]) -> int:
    number = group if isinstance(group, int) else _group_number(group, groups)
    if number is None:
        raise Invalid(f"Unable to find group {group}: no matching entries in group file")
    return number


def _group_number(name: str, groups: list[GroupEntry]) -> int | None:
    entry = next((each for each in groups if each.name == name), None)
    return entry.gid if entry else _number(name)


def _number(text: str) -> int | None:
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdecimal():
        return None
    if digits != text or int(text) > _MAX_ID:
        raise Invalid(f"uids and gids must be in range 0-{_MAX_ID}")
    return int(text)


def identify(user: User, root: Root) -> Identity:
    """Resolve inside a root.  Missing files are empty ones."""
    by_number = not user.name and all(isinstance(each, int) for each in user.groups)
    passwd = parse_passwd(_read(root, "/etc/passwd"))
    groups = [] if by_number else parse_group(_read(root, "/etc/group"))
    return resolve(user, passwd, groups)


def _read(root: Root, path: str) -> str:
    try:
        return root.read_bytes(path, _MAX_FILE).decode(errors="replace")
    except OSError:
        return ""
