"""Logging in to our registry: passwords, tokens, permissions of each repository."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from corten.registry.config import AccessRule, AuthOptions, Options
from corten.registry.passwords import hashed
from corten.spec.digest import Digest
from corten.spec.distribution import basic_credentials, parse_challenges
from rig.serving import Session, make_image, scenario, serving, session

IMAGE = make_image()
RULES = (
    AccessRule(("team/**",), ("alice",), ("pull", "push", "delete")),
    AccessRule(("team/**",), ("bob",), ("pull",)),
    AccessRule(("public/*",), ("anonymous", "*"), ("pull",)),
)
LINES = "".join(f"{user}:{hashed(f'{user}-secret', cost=4)}\n" for user in ("alice", "bob"))


@asynccontextmanager
async def guarded(root: Path, **fields: Any) -> AsyncIterator[Session]:
    (root / "htpasswd").write_text(LINES)
    auth = AuthOptions(str(root / "htpasswd"), **fields)
    async with serving(root / "store", Options(auth=auth, access=RULES)) as served, session(served) as asked:
        yield asked


def user(name: str, password: str = "") -> dict[str, str]:
    return {"Authorization": basic_credentials(name, password or f"{name}-secret")}


async def token(asked: Session, scope: str, who: dict[str, str] | None = None) -> dict[str, str]:
    answer = await asked.ask("GET", f"/auth/token?service=corten-registry&scope={scope}", headers=who)
    assert answer.status == 200, answer
    return {"Authorization": f"Bearer {answer.json['token']}"}


@scenario
async def test_basic(tmp_path: Path) -> None:
    async with guarded(tmp_path) as asked:
        refused = await asked.ask("GET", "/v2/")
        assert (refused.status, refused.code) == (401, "UNAUTHORIZED")
        assert parse_challenges(refused.headers["WWW-Authenticate"])[0].is_basic
        assert (await asked.ask("GET", "/v2/", headers=user("alice"))).status == 200
        for wrong in (user("alice", "no"), user("eve"), {"Authorization": "Basic ???"}, {"Authorization": "Digest x"}):
            assert (await asked.ask("GET", "/v2/", headers=wrong)).status == 401
        uploads = "/v2/team/app/blobs/uploads/"
        assert (await asked.ask("POST", uploads, headers=user("alice"))).status == 202
        denied = await asked.ask("POST", uploads, headers=user("bob"))
        assert (denied.status, denied.code) == (403, "DENIED")
        assert (await asked.ask("POST", uploads)).status == 401
        assert (await asked.ask("POST", "/v2/other/blobs/uploads/", headers=user("alice"))).status == 403


@scenario
async def test_anonymous_may_pull_what_is_public(tmp_path: Path) -> None:
    async with guarded(tmp_path) as asked:
        assert (await asked.ask("GET", "/v2/public/x/tags/list")).status == 404
        assert (await asked.ask("GET", "/v2/team/x/tags/list")).status == 401


@scenario
async def test_tokens(tmp_path: Path) -> None:
    async with guarded(tmp_path, token=True) as asked:
        refused = await asked.ask("POST", "/v2/team/app/blobs/uploads/")
        challenge = parse_challenges(refused.headers["WWW-Authenticate"])[0]
        assert (refused.status, challenge.is_bearer) == (401, True)
        assert challenge.parameters["scope"] == "repository:team/app:pull,push"
        assert challenge.parameters["realm"] == f"{asked.served.url}/auth/token"
        full = await token(asked, "repository:team/app:pull,push", user("alice"))
        assert (await asked.ask("POST", "/v2/team/app/blobs/uploads/", headers=full)).status == 202
        assert (await asked.ask("POST", "/v2/team/other/blobs/uploads/", headers=full)).status == 401
        pull_only = await token(asked, "repository:team/app:pull,push", user("bob"))
        assert (await asked.ask("GET", "/v2/team/app/tags/list", headers=pull_only)).status in (200, 404)
        assert (await asked.ask("POST", "/v2/team/app/blobs/uploads/", headers=pull_only)).status == 401
        assert (await asked.ask("GET", "/auth/token?scope=repository:team/app:pull", headers=user("eve"))).status == 401
        nobody = await token(asked, "repository:public/x:pull")
        assert (await asked.ask("GET", "/v2/public/x/tags/list", headers=nobody)).status == 404


@scenario
async def test_refresh_tokens_end_with_the_password(tmp_path: Path) -> None:
    async with guarded(tmp_path, token=True) as asked:
        form = {"grant_type": "password", "username": "alice", "password": "alice-secret", "service": "x"}
        answer = await asked.ask("POST", "/auth/token", form)
        refresh = answer.json["refresh_token"]
        again = {"grant_type": "refresh_token", "refresh_token": refresh, "scope": "repository:team/a:pull"}
        renewed = await asked.ask("POST", "/auth/token", again)
        assert (renewed.status, renewed.json["scope"]) == (200, "repository:team/a:pull")
        as_access = {"Authorization": f"Bearer {refresh}"}
        assert (await asked.ask("GET", "/v2/", headers=as_access)).status == 401
        (tmp_path / "htpasswd").write_text(f"alice:{hashed('changed', cost=4)}\n")
        assert (await asked.ask("POST", "/auth/token", again)).status == 401
        assert (await asked.ask("POST", "/auth/token", {"grant_type": "magic"})).status == 400


@scenario
async def test_expired_tokens_are_refused(tmp_path: Path) -> None:
    async with guarded(tmp_path, token=True, lifetime=-1.0) as asked:
        old = await token(asked, "repository:team/app:pull", user("alice"))
        assert (await asked.ask("GET", "/v2/team/app/tags/list", headers=old)).status == 401


@scenario
async def test_processes_share_the_key_of_the_tokens(tmp_path: Path) -> None:
    async with guarded(tmp_path, token=True) as one, guarded(tmp_path, token=True) as other:
        given = await token(one, "repository:team/app:pull", user("alice"))
        assert (await other.ask("GET", "/v2/team/app/tags/list", headers=given)).status == 404


@pytest.mark.parametrize("tokens", [False, True])
@scenario
async def test_mount_needs_permission_to_pull_the_source(tmp_path: Path, tokens: bool) -> None:
    async with guarded(tmp_path, token=tokens) as asked:
        alice = await token(asked, "repository:team/secret:pull,push", user("alice")) if tokens else user("alice")
        data = b"secret bytes"
        began = await asked.ask("POST", "/v2/team/secret/blobs/uploads/", headers=alice)

        digest = Digest.of(data)
        await asked.ask("PUT", f"{began.headers['Location']}?digest={digest}", data, alice)
        rules = (*RULES, AccessRule(("bobs/*",), ("bob",), ("pull", "push")))
        auth = AuthOptions(str(tmp_path / "htpasswd"))
        blind = tuple(rule for rule in rules if rule.users != ("bob",) or "bobs/*" in rule.repositories)
        async with serving(tmp_path / "store", Options(auth=auth, access=blind)) as served, session(served) as as_bob:
            path = f"/v2/bobs/copy/blobs/uploads/?mount={digest}&from=team/secret"
            assert (await as_bob.ask("POST", path, headers=user("bob"))).status == 202
            assert (await as_bob.ask("HEAD", f"/v2/bobs/copy/blobs/{digest}", headers=user("bob"))).status == 404


@scenario
async def test_catalog_shows_what_the_actor_may_pull(tmp_path: Path) -> None:
    async with serving(tmp_path / "store") as served, session(served) as open_door:
        for name in ("team/a", "public/b", "hidden"):
            await open_door.push_image(name, IMAGE)
    async with guarded(tmp_path) as asked:
        bobs = await asked.ask("GET", "/v2/_catalog", headers=user("bob"))
        assert bobs.json["repositories"] == ["public/b", "team/a"]
        page = await asked.ask("GET", "/ui/", headers=user("bob"))
        assert b"team/a" in page.body
        assert b"hidden" not in page.body
        assert (await asked.ask("GET", "/ui/hidden", headers=user("bob"))).status == 404
        assert (await asked.ask("GET", "/ui/team/a")).status == 401
