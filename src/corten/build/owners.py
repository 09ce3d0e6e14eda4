"""``--chown=user[:group]``: numbers, or names looked up in the tree's own passwd and group files.

Docker's rule for a user alone: the user's primary group; for a number alone: the same number.
"""

from __future__ import annotations

from corten.errors import Invalid
from corten.kernel.paths import Root

MAX_FILE = 4 << 20
MAX_ID = (1 << 32) - 2


def find_owner(spec: str, root: Root) -> tuple[int, int]:
    """Raises Invalid in the classic builder's words."""
    user, _, group = spec.partition(":")
    number = _number(user)
    if number is None:
        fields = _entry(root, "/etc/passwd", user, 4)
        if fields is None:
            raise Invalid(_complaint(f"can't find uid for user {user}: no such user: {user}"))
        number, primary = int(fields[2]), int(fields[3])
    else:
        primary = number
    if not group:
        return number, primary
    group_number = _number(group)
    if group_number is None:
        fields = _entry(root, "/etc/group", group, 3)
        if fields is None:
            raise Invalid(_complaint(f"can't find gid for group {group}: no such group: {group}"))
        group_number = int(fields[2])
    return number, group_number


def _complaint(why: str) -> str:
    return f"unable to convert uid/gid chown string to host mapping: {why}"


def _number(text: str) -> int | None:
    if text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= MAX_ID:
        return int(text)
    return None


def _entry(root: Root, path: str, name: str, numbers_until: int) -> list[str] | None:
    """The fields of a name, where those that must be numbers are."""
    try:
        text = root.read_bytes(path, MAX_FILE).decode("utf-8", "replace")
    except OSError:
        return None
    for line in text.split("\n"):
        fields = line.split(":")
        if (
            fields[0] == name
            and len(fields) >= numbers_until
            and all(_number(n) is not None for n in fields[2:numbers_until])
        ):
            return fields
    return None
