"""The table of routes: how paths find their row, and version prefixes."""

from __future__ import annotations

import pytest

from corten.api.routes import ROUTES, match
from corten.api.version import CURRENT, ApiVersion, negotiate, split_prefix
from corten.errors import Invalid


@pytest.mark.parametrize(
    ("method", "path", "name", "params"),
    [
        ("GET", "/containers/json", "container_list", {}),
        ("POST", "/containers/abc/start", "container_start", {"name": "abc"}),
        ("GET", "/containers/abc/attach/ws", "container_attach_websocket", {"name": "abc"}),
        ("DELETE", "/containers/parent/alias", "container_remove", {"name": "parent/alias"}),
        ("GET", "/images/reg:5000/a/b:tag/json", "image_inspect", {"name": "reg:5000/a/b:tag"}),
        ("DELETE", "/images/json", "image_remove", {"name": "json"}),
        ("GET", "/images/json", "image_list", {}),
        ("HEAD", "/_ping", "system_ping", {}),
        ("POST", "/exec/x/start", "exec_start", {"id": "x"}),
        ("GET", "/distribution/docker.io/library/x/json", "distribution_inspect", {"name": "docker.io/library/x"}),
    ],
)
def test_paths_find_their_row(method: str, path: str, name: str, params: dict[str, str]) -> None:
    found = match(method, path)
    assert found is not None
    assert found.route.name == name
    assert dict(found.params) == params


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nope"), ("PATCH", "/containers/json"), ("GET", "/exec/a/b/json")]
)
def test_others_find_none(method: str, path: str) -> None:
    assert match(method, path) is None


def test_no_two_rows_of_one_operation_but_ping() -> None:
    names = [route.name for route in ROUTES]
    assert {name for name in names if names.count(name) > 1} == {"system_ping"}


def test_version_prefixes() -> None:
    assert split_prefix("/v1.41/info") == (ApiVersion(1, 41), "/info")
    assert split_prefix("/info") == (CURRENT, "/info")
    assert negotiate(ApiVersion(1, 40)) == ApiVersion(1, 40)
    assert negotiate(ApiVersion(1, 99)) == CURRENT


def test_versions_out_of_range_in_dockerds_words() -> None:
    with pytest.raises(Invalid, match=r"client version 1.23 is too old. Minimum supported API version is 1.24"):
        split_prefix("/v1.23/info")
    with pytest.raises(Invalid, match=r"client version 1.99 is too new. Maximum supported API version is 1.50"):
        split_prefix("/v1.99/info")
