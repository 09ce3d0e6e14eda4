"""User strings as Docker reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.errors import Invalid
from corten.runtime.users import Identity, parse_group, parse_passwd, resolve
from corten.spec.runtime import User

PASSWD = parse_passwd(
    "root:x:0:0:root:/root:/bin/sh\n# comment:x:1:1\nbad line\nwww:x:33:34::/srv:/bin/sh\n77:x:5:6::/n:\n"
)
GROUP = parse_group("root:x:0:\nwww:x:34:\nextra:x:44:other,www\nmore:x:45:www\n9:x:99:\n")


@pytest.mark.parametrize(
    ("text", "identity"),
    [
        ("root", Identity(0, 0, (0,), "/root")),
        ("www", Identity(33, 34, (34, 44, 45), "/srv")),
        ("33", Identity(33, 34, (34, 44, 45), "/srv")),
        ("www:extra", Identity(33, 44, (44,), "/srv")),
        ("www:12", Identity(33, 12, (12,), "/srv")),
        ("1000", Identity(1000, 0, (0,), "/")),
        ("1000:1001", Identity(1000, 1001, (1001,), "/")),
        ("77", Identity(5, 6, (6,), "/n")),  # a name that looks like a number is a name
        ("www:9", Identity(33, 99, (99,), "/srv")),
        (":extra", Identity(0, 44, (44,), "/")),
    ],
)
def test_user_strings(text: str, identity: Identity) -> None:
    assert resolve(User(name=text), PASSWD, GROUP) == identity


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nobody", "unable to find user nobody: no matching entries in passwd file"),
        ("www:nogroup", "unable to find group nogroup: no matching entries in group file"),
        ("2147483648", "uids and gids must be in range 0-2147483647"),
        ("-1", "uids and gids must be in range 0-2147483647"),
    ],
)
def test_refusals(text: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        resolve(User(name=text), PASSWD, GROUP)


def test_numbers_and_further_groups() -> None:
    identity = resolve(User(33, 7, (44, "more", "123")), PASSWD, GROUP)
    assert identity == Identity(33, 7, (7, 44, 45, 123), "/srv")
    with pytest.raises(Invalid, match="Unable to find group nope: no matching entries"):
        resolve(User(groups=("nope",)), PASSWD, GROUP)


def test_digits_that_are_no_numbers() -> None:
    assert parse_passwd("a:x:\u00b2:1::/:\nb:x:1:1::/b:") == parse_passwd("b:x:1:1::/b:")
    assert parse_group("a:x:\u00b2:") == []


@given(st.text())
def test_any_file_can_be_read(text: str) -> None:
    parse_passwd(text)
    parse_group(text)
