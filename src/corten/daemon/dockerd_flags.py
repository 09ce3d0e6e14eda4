"""dockerd's flags and keys that Corten has no setting for: which are taken because they say what is so anyway.

Owns: the two tables.  What is not in either and not in ``config.py`` is unknown, and refused as dockerd refuses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from corten.errors import Invalid

# Name: the values (as text) that are what Corten does anyway; None takes any, for it changes nothing here.
ACCEPTED: Mapping[str, frozenset[str] | None] = {
    "containerd": None,
    "containerd-namespace": None,
    "containerd-plugins-namespace": None,
    "exec-opt": frozenset({"native.cgroupdriver=cgroupfs"}),
    "experimental": frozenset({"false"}),
    "features": None,
    "firewall-backend": frozenset({"nftables", ""}),
    "init-path": frozenset({""}),
    "ip-forward": frozenset({"true"}),
    "ip-masq": frozenset({"true"}),
    "ip6tables": frozenset({"true"}),
    "iptables": frozenset({"true"}),
    "log-format": frozenset({"text", ""}),
    "max-download-attempts": None,
    "network-control-plane-mtu": None,
    "no-new-privileges": frozenset({"false"}),
    "node-generic-resource": None,
    "oom-score-adjust": frozenset({"0"}),
    "raw-logs": None,
    "rootless": frozenset({"false"}),
    "selinux-enabled": frozenset({"false"}),
    "swarm-default-advertise-addr": None,
    "userland-proxy-path": None,
}

REFUSED: Mapping[str, str] = {
    "authorization-plugin": "plugins are not supported; give the socket to a group, or use TLS certificates",
    "authorization-plugins": "plugins are not supported; give the socket to a group, or use TLS certificates",
    "bip6": "use --ipv6 and an address pool",
    "cdi-spec-dir": "there are no drivers for CDI devices",
    "cpu-rt-period": "realtime scheduling of groups is not supported",
    "cpu-rt-runtime": "realtime scheduling of groups is not supported",
    "default-gateway": "the default bridge's own address is the gateway; set it by --bip",
    "default-gateway-v6": "the default bridge's own address is the gateway",
    "default-network-opt": "name the options when a network is created",
    "fixed-cidr-v6": "use --ipv6 and an address pool",
    "http-proxy": "set HTTP_PROXY in the daemon's environment",
    "https-proxy": "set HTTPS_PROXY in the daemon's environment",
    "metrics-addr": "metrics are not served",
    "no-proxy": "set NO_PROXY in the daemon's environment",
    "proxies": "set HTTP_PROXY, HTTPS_PROXY and NO_PROXY in the daemon's environment",
    "storage-opt": "the storage drivers have no options; see --disk-budget for limits",
    "storage-opts": "the storage drivers have no options; see --disk-budget for limits",
    "userns-remap": "use --userns-default auto: each container gets a range of its own",
}

# dockerd: without a value they mean true.
_SWITCHES = frozenset(
    {"experimental", "ip-forward", "ip-masq", "ip6tables", "iptables", "no-new-privileges", "raw-logs", "rootless",
     "selinux-enabled"}
)  # fmt: skip


def names() -> list[tuple[str, bool]]:
    """Every flag of the tables, and whether it may stand without a value."""
    return [(name, name in _SWITCHES) for name in (*ACCEPTED, *REFUSED)]


def check(name: str, value: Any) -> None:
    """Take it, or raise Invalid with the reason."""
    if name in REFUSED:
        raise Invalid(f"--{name} is not supported: {REFUSED[name]}")
    allowed = ACCEPTED[name]
    values = value if isinstance(value, list) else [value]
    for each in values:
        text = str(each).lower() if isinstance(each, bool) else str(each)
        if allowed is not None and text not in allowed:
            wanted = " or ".join(sorted(allowed - {""})) or "no value"
            raise Invalid(f"--{name}={text} is not supported: only {wanted} is")


def is_known(name: str) -> bool:
    """Whether the tables have it."""
    return name in ACCEPTED or name in REFUSED
