"""Who may do what: rules, passwords, tokens."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.errors import Invalid, Unauthorized
from corten.registry.access import ANONYMOUS, allowed, matches
from corten.registry.config import ACTIONS, AccessRule, AuthOptions
from corten.registry.passwords import Passwords, hashed, parse, verify
from corten.registry.tokens import Signer, Token, narrowed
from corten.spec.distribution import Scope
from rig.serving import scenario

CLOSED, OPEN = AuthOptions("x"), AuthOptions("x", anonymous_pull=True)
RULES = (
    AccessRule(("team/**",), ("alice",), ("pull", "push", "delete")),
    AccessRule(("**",), ("*",), ("pull",)),
    AccessRule(("public/*",), ("anonymous",), ("pull",)),
)


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [("a", "a", True), ("a", "ab", False), ("a/*", "a/b", True), ("a/*", "a/b/c", False), ("a/**", "a/b/c", True),
     ("**", "x/y", True), ("*", "x/y", False), ("a.b", "axb", False), ("a/**", "a", False)],
)  # fmt: skip
def test_patterns(pattern: str, name: str, expected: bool) -> None:
    assert matches((pattern,), name) is expected


@pytest.mark.parametrize(
    ("rules", "options", "user", "name", "expected"),
    [
        ((), CLOSED, "alice", "any", ACTIONS),
        ((), CLOSED, ANONYMOUS, "any", set()),
        ((), OPEN, ANONYMOUS, "any", {"pull"}),
        (RULES, CLOSED, "alice", "team/x", ACTIONS),
        (RULES, CLOSED, "alice", "other", {"pull"}),
        (RULES, CLOSED, "bob", "team/x", {"pull"}),
        (RULES, CLOSED, ANONYMOUS, "team/x", set()),
        (RULES, CLOSED, ANONYMOUS, "public/x", {"pull"}),
    ],
)
def test_rules(rules: tuple[AccessRule, ...], options: AuthOptions, user: str, name: str, expected: set[str]) -> None:
    assert allowed(rules, options, user, name) == expected


def test_bcrypt() -> None:
    stored = hashed("secret", cost=4)
    assert stored.startswith("$2y$04$")
    assert verify("secret", stored)
    assert not verify("Secret", stored)
    assert not verify("secret\0", stored)
    # From the bcrypt test vectors of crypt_blowfish.
    assert verify("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW")


def test_htpasswd() -> None:
    assert parse("# users\n\nalice:$2y$05$abc\nbob:$6$salt$hash\n") == {"alice": "$2y$05$abc", "bob": "$6$salt$hash"}
    for bad in ("alice", "alice:", ":x", "alice:$apr1$x$y", "alice:{SHA}x", "alice:plain"):
        with pytest.raises(Invalid, match="line 1"):
            parse(bad)


@scenario
async def test_password_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "htpasswd"
    path.write_text(f"alice:{hashed('one', cost=4)}\n")
    passwords = Passwords(path)
    assert await passwords.check("alice", "one")
    assert not await passwords.check("alice", "two")
    assert not await passwords.check("nobody", "one")
    before = passwords.fingerprint("alice")
    path.write_text(f"alice:{hashed('two', cost=4)}\n")
    os.utime(path, ns=(1, 1))
    assert await passwords.check("alice", "two")
    assert not await passwords.check("alice", "one")
    assert passwords.fingerprint("alice") != before


def test_tokens_are_read_back_by_their_signer_only() -> None:
    signer = Signer(b"key", "service")
    token = Token("alice", (Scope("repository", "a/b", frozenset({"pull"})),), 1300.0)
    text = signer.sign(token, 1000.0)
    assert signer.read(text, 1100.0) == token
    assert token.may("a/b", "pull")
    assert not token.may("a/b", "push")
    for reader, now in ((Signer(b"other", "service"), 1100.0), (Signer(b"key", "elsewhere"), 1100.0), (signer, 1300.0)):
        with pytest.raises(Unauthorized):
            reader.read(text, now)


@given(st.text(), st.integers(0, 200), st.characters(codec="ascii"))
def test_tampered_tokens_are_refused(garbage: str, position: int, letter: str) -> None:
    signer = Signer(b"key", "service")
    text = signer.sign(Token("alice", (), 1300.0), 1000.0)
    changed = text[:position] + letter + text[position + 1 :]
    for bad in (garbage, changed):
        if bad != text:
            with pytest.raises(Unauthorized):
                signer.read(bad, 1100.0)


def test_only_what_is_allowed_is_granted() -> None:
    wanted = [
        Scope.parse("repository:a:pull,push"),
        Scope.parse("repository:b:pull"),
        Scope.parse("registry:catalog:*"),
    ]
    granted = narrowed(wanted, {"a": frozenset({"pull"}), "b": frozenset()})
    assert granted == (Scope.parse("repository:a:pull"), Scope.parse("registry:catalog:*"))
