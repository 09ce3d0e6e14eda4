"""``corten port``: where a container's ports are published."""

from __future__ import annotations

from corten.cli.command import Call, Command
from corten.cli.output.ports import host_port
from corten.client import paths
from corten.errors import NotFound


def run(call: Call) -> None:
    """Show all mappings, or those of one port."""
    name, *wanted = call.arguments
    found = call.session.get(paths.container(name, "/json"))
    published = {port: bindings for port, bindings in (found["NetworkSettings"].get("Ports") or {}).items() if bindings}
    if wanted:
        port = wanted[0] if "/" in wanted[0] else f"{wanted[0]}/tcp"
        if port not in published:
            raise NotFound(f"no public port '{wanted[0]}' published for {name}")
        lines = [host_port(binding["HostIp"], binding["HostPort"]) for binding in published[port]]
    else:
        lines = [
            f"{port} -> {host_port(binding['HostIp'], binding['HostPort'])}"
            for port, bindings in sorted(published.items(), key=_order)
            for binding in bindings
        ]
    if lines:
        print("\n".join(lines))


def _order(item: tuple[str, object]) -> tuple[int, str]:
    number, _, protocol = item[0].partition("/")
    return int(number), protocol


COMMAND = Command(run, "CONTAINER [PRIVATE_PORT[/PROTO]]", least=1, most=2)
