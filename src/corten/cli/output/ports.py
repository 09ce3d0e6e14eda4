"""Ports of a container in a listing: ``0.0.0.0:80->80/tcp, [::]:80->80/tcp, 9000-9002/udp``.

Owns: how neighbouring ports fold into ranges.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def host_port(address: str, port: str) -> str:
    """Address and port joined; IPv6 in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def summary(ports: Iterable[dict[str, Any]]) -> str:
    """The PORTS column for the ``Ports`` of a container summary."""
    ordered = sorted(ports, key=_order)
    finished: list[str] = []
    mapped: list[str] = []
    runs: dict[tuple[str, str], tuple[int, int]] = {}
    for port in ordered:
        private, public = int(port["PrivatePort"]), int(port.get("PublicPort") or 0)
        address, protocol = str(port.get("IP") or ""), str(port.get("Type") or "tcp")
        if address and public != private:
            mapped.append(f"{host_port(address, str(public))}->{private}/{protocol}")
            continue
        key = (address, protocol)
        if key in runs and private == runs[key][1] + 1:
            runs[key] = (runs[key][0], private)
        else:
            if key in runs:
                finished.append(_range(key, *runs[key]))
            runs[key] = (private, private)
    return ", ".join([*finished, *(_range(key, *run) for key, run in runs.items()), *mapped])


def _order(port: dict[str, Any]) -> tuple[int, str, int, str]:
    return (
        int(port["PrivatePort"]),
        str(port.get("IP") or ""),
        int(port.get("PublicPort") or 0),
        str(port.get("Type") or ""),
    )


def _range(key: tuple[str, str], first: int, last: int) -> str:
    address, protocol = key
    text = str(first) if first == last else f"{first}-{last}"
    return f"{host_port(address, text)}->{text}/{protocol}" if address else f"{text}/{protocol}"
