"""Which hosts are asked, in what order, and how far each is trusted."""

from __future__ import annotations

import pytest

from corten.distribution.hosts import Host, hosts_of, is_insecure
from corten.distribution.model import RegistryConfig, Retries
from corten.distribution.transport import retry_after
from corten.errors import Invalid


def urls(registry: str, config: RegistryConfig, **options: bool) -> list[str]:
    return [host.url for host in hosts_of(registry, config, **options)]


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("localhost:5000", True),
     ("127.0.0.1:5000", True), ("127.8.9.10", True), ("[::1]:5000", True),
     ("registry.example", False), ("10.1.2.3:5000", True), ("11.1.2.3", False), ("named.example:5000", True),
     ("named.example:5001", False), ("any.example:1", True),
     ("localhost.example", False), ("127.0.0.1.example", False)],
)  # fmt: skip
def test_insecure(host: str, expected: bool) -> None:
    assert is_insecure(host, ["10.0.0.0/8", "named.example:5000", "any.example"]) is expected


def test_a_bad_network_is_told() -> None:
    with pytest.raises(Invalid, match=r"insecure registry '10.0.0.0/99' is not valid"):
        is_insecure("1.2.3.4", ["10.0.0.0/99"])


def test_order() -> None:
    config = RegistryConfig(
        mirrors={"docker.io": ("https://mirror.example/",), "*": ("cache.example:5000", "http://10.0.0.9:5000/proxy")},
        insecure=frozenset({"10.0.0.0/8"}),
    )
    everywhere = ["https://cache.example:5000", "http://10.0.0.9:5000/proxy"]
    assert urls("docker.io", config) == ["https://mirror.example", *everywhere, "https://registry-1.docker.io"]
    assert urls("ghcr.io", config) == [*everywhere, "https://ghcr.io"]
    assert urls("docker.io", config, push=True) == ["https://registry-1.docker.io"]
    assert urls("localhost:5000", RegistryConfig()) == ["https://localhost:5000", "http://localhost:5000"]
    assert [host.verify for host in hosts_of("ghcr.io", config)] == [True, False, True]


@pytest.mark.parametrize("url", ["ftp://x", "https://", "https://x?y=1", "https://x#y"])
def test_a_bad_mirror_is_told(url: str) -> None:
    with pytest.raises(Invalid, match="invalid mirror"):
        hosts_of("ghcr.io", RegistryConfig(mirrors={"*": (url,)}))


def test_name_of_a_host() -> None:
    assert Host("https://a.example:5000/prefix", "x").name == "a.example:5000"


def test_pauses_grow_to_a_bound() -> None:
    assert [Retries().pause(attempt) for attempt in (1, 2, 3, 9)] == [0.5, 1.0, 2.0, 15.0]


def test_retry_after() -> None:
    assert retry_after("7", 0) == 7.0
    assert retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 20) == 40.0
    assert retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 100) == 0.0
    assert retry_after("soon", 0) is None
    assert retry_after(None, 0) is None
