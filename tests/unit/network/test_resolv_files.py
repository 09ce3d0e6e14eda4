"""hosts and resolv.conf as Docker writes them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from corten.network import resolv
from corten.network.resolv import ResolvConf, hosts_file, resolv_conf

HOST = "# comment\nnameserver 127.0.0.1\nnameserver 10.0.0.53 # x\nsearch a.example b.example\noptions timeout:2\n"


def test_the_hosts_servers_without_loopback() -> None:
    assert resolv_conf(HOST) == "nameserver 10.0.0.53\nsearch a.example b.example\noptions timeout:2\n"
    assert resolv_conf("nameserver 127.0.0.53\n") == "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"


def test_what_is_given_replaces() -> None:
    text = resolv_conf(HOST, dns=["1.1.1.1"], search=["."], options=["ndots:2"])
    assert text == "nameserver 1.1.1.1\noptions ndots:2\n"


def test_embedded() -> None:
    text = resolv_conf(HOST, dns=["1.1.1.1"], embedded=True)
    assert text == "nameserver 127.0.0.11\nsearch a.example b.example\noptions timeout:2 ndots:0\n"
    assert "ndots:0" not in resolv_conf(HOST, options=["ndots:3"], embedded=True)


def test_upstream_may_be_the_hosts_loopback() -> None:
    assert resolv.upstream_servers(HOST) == ("127.0.0.1", "10.0.0.53")
    assert resolv.upstream_servers(HOST, ["9.9.9.9"]) == ("9.9.9.9",)
    assert resolv.upstream_servers("") == resolv.DEFAULT_SERVERS


@given(st.text(max_size=200))
def test_any_text_is_read_and_printing_is_stable(text: str) -> None:
    once = ResolvConf.parse(text)
    assert ResolvConf.parse(str(once)) == once


def test_hosts() -> None:
    lines = hosts_file([("10.0.0.2", "web")], [("db", "10.0.0.9")]).splitlines()
    assert lines[0] == "127.0.0.1\tlocalhost"
    assert lines[-2:] == ["10.0.0.9\tdb", "10.0.0.2\tweb"]
