"""Network create requests and list filters."""

from __future__ import annotations

import pytest

from corten.api.filters import Filters
from corten.engine.networks import request, view
from corten.errors import Denied, Invalid
from corten.network.model import Network


def test_a_bare_name_is_an_ipv4_bridge() -> None:
    spec = request.parse({"Name": "n"})
    assert (spec.name, spec.driver, spec.enable_ipv4, spec.enable_ipv6, spec.ipam) == ("n", "bridge", True, False, ())


def test_all_fields() -> None:
    spec = request.parse(
        {
            "Name": "n",
            "CheckDuplicate": True,
            "Driver": "bridge",
            "Internal": True,
            "Attachable": True,
            "EnableIPv6": True,
            "IPAM": {
                "Driver": "default",
                "Config": [
                    {"Subnet": "10.9.0.0/16", "Gateway": "10.9.0.9", "AuxiliaryAddresses": {"a": "10.9.0.3"}},
                    {},
                ],
                "Options": {"o": "p"},
            },
            "Options": {"com.docker.network.bridge.name": "br-n"},
            "Labels": {"l": "m"},
        }
    )
    assert spec.internal and spec.attachable and spec.enable_ipv6
    assert [str(pool.subnet) for pool in spec.ipam] == ["10.9.0.0/16"]
    assert str(spec.ipam[0].aux["a"]) == "10.9.0.3"
    assert (spec.options, spec.labels) == ({"com.docker.network.bridge.name": "br-n"}, {"l": "m"})


def test_predefined_names_and_swarm_drivers_are_refused() -> None:
    for name in ("bridge", "host", "none"):
        with pytest.raises(Denied, match="predefined"):
            request.parse({"Name": name})
    with pytest.raises(Denied, match="not a swarm manager"):
        request.parse({"Name": "n", "Driver": "overlay"})


def test_every_fault_of_the_pools_is_told_at_once() -> None:
    body = {"Name": "n", "IPAM": {"Config": [{"Subnet": "nonsense"}, {"Subnet": "10.0.0.0/8", "Gateway": "11.0.0.1"}]}}
    with pytest.raises(Invalid) as refused:
        request.parse(body)
    lines = str(refused.value).splitlines()
    assert lines[0] == "invalid network config:"
    assert len(lines) == 3


def test_driver_options_choose_families_unless_a_field_does() -> None:
    options = {"com.docker.network.enable_ipv6": "true", "com.docker.network.enable_ipv4": "no"}
    with pytest.raises(Invalid, match=r'driver-opt "com\.docker\.network\.enable_ipv4" is not a valid bool'):
        request.parse({"Name": "n", "Options": options})
    spec = request.parse({"Name": "n", "Options": options, "EnableIPv4": True})
    assert spec.enable_ipv4 and spec.enable_ipv6
    assert "com.docker.network.enable_ipv4" not in spec.options


def test_wrong_types_are_bad_requests() -> None:
    for body in (
        {"Name": 5},
        {"Name": "n", "Labels": ["x"]},
        {"Name": "n", "IPAM": 1},
        {"Name": "n", "IPAM": {"Config": {}}},
    ):
        with pytest.raises(Invalid):
            request.parse(body)


NETWORKS = [
    Network(id="a" * 64, name="bridge", driver="bridge", created=0),
    Network(id="b" * 64, name="web", driver="bridge", created=0, labels={"tier": "front"}),
    Network(id="c" * 64, name="webby", driver="macvlan", created=0),
]


def kept(in_use: dict[str, bool] | None = None, **fields: list[str]) -> list[str]:
    filters = Filters({name: tuple(values) for name, values in fields.items()})
    return [item.name for item in view.keep(NETWORKS, filters, in_use or {})]


def test_list_filters() -> None:
    assert kept() == ["bridge", "web", "webby"]
    assert kept(name=["web"]) == ["web", "webby"]
    assert kept(name=["^web$"]) == ["web"]
    assert kept(driver=["macvlan"]) == ["webby"]
    assert kept(id=["bbb"]) == ["web"]
    assert kept(label=["tier=front"]) == ["web"]
    assert kept(type=["builtin"]) == ["bridge"]
    assert kept(type=["custom"]) == ["web", "webby"]
    assert kept(scope=["swarm"]) == []
    assert kept({"b" * 64: True}, dangling=["true"]) == ["webby"]
    assert kept({"b" * 64: True}, dangling=["0"]) == ["bridge", "web"]
    for name, value in (("nonsense", "x"), ("type", "other"), ("dangling", "perhaps")):
        with pytest.raises(Invalid):
            kept(**{name: [value]})


def test_the_view_has_every_field_of_the_api() -> None:
    body = view.network(NETWORKS[1])
    assert body["Scope"] == "local"
    assert body["IPAM"] == {"Driver": "default", "Options": None, "Config": []}
    assert body["Containers"] == {} and body["Labels"] == {"tier": "front"}
