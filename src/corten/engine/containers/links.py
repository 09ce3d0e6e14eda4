"""``--link`` on the default bridge, as Docker keeps it for old clients: names, host entries, environment.

Owns: what a link says.  On other networks links are names of the embedded DNS, in ``network/``.
"""

from __future__ import annotations

from collections.abc import Iterator

from corten.engine.containers.ground import Ground
from corten.engine.containers.live import Live
from corten.engine.containers.model import Container
from corten.errors import Conflict, CortenError, NotFound

_PRIVATE = frozenset({"HOME", "PATH", "HOSTNAME"})


def targets(ground: Ground, record: Container) -> Iterator[tuple[str, Live]]:
    """Alias and container of each link on the default bridge; those that are gone are left out."""
    if record.network_mode != "bridge":
        return
    for text in record.host_config["Links"] or ():
        name, _, alias = text.partition(":")
        try:
            live = ground.roster.find(name)
        except CortenError:
            continue
        yield alias.rpartition("/")[2] or live.record.name, live


def check(ground: Ground, record: Container) -> None:
    """Raise Conflict if a linked container does not run."""
    for alias, live in targets(ground, record):
        if not live.record.is_running:
            raise Conflict(f"Cannot link to a non running container: /{live.record.name} AS /{record.name}/{alias}")


def warnings(ground: Ground, record: Container) -> list[str]:
    """What a link does not do here: open the way where containers may not talk to one another."""
    linked = [alias for alias, _ in targets(ground, record)]
    if not linked or ground.networking.get("bridge").allows_icc:
        return []
    words = f"The link to {', '.join(linked)} gives names and variables, but no leave to talk"
    reason = "inter-container communication is off on the default bridge (--icc=false)"
    return [f"{words}: {reason}. Use a network of your own instead (docker network create)."]


def hosts(ground: Ground, record: Container) -> list[tuple[str, str]]:
    """Names and address of each link."""
    found = []
    for alias, live in targets(ground, record):
        if address := _address(ground, live):
            names = dict.fromkeys((alias, live.record.config["Hostname"] or live.record.short_id, live.record.name))
            found.append((" ".join(names), address))
    return found


def environment(ground: Ground, record: Container) -> list[str]:
    """The variables by which programs of 2013 find their database."""
    found: list[str] = []
    for alias, live in targets(ground, record):
        other, prefix = live.record, alias.replace("-", "_").upper()
        found.append(f"{prefix}_NAME=/{record.name}/{alias}")
        if address := _address(ground, live):
            found.extend(_ports(prefix, address, other))
        for item in other.config["Env"] or ():
            if item.partition("=")[0] not in _PRIVATE:
                found.append(f"{prefix}_ENV_{item}")  # noqa: PERF401
    return found


def _address(ground: Ground, live: Live) -> str:
    for endpoint in ground.networking.endpoints_of(live.record.id):
        if endpoint.network_name == "bridge" and endpoint.ipv4 is not None:
            return str(endpoint.ipv4.ip)
    return ""


def _ports(prefix: str, address: str, other: Container) -> Iterator[str]:
    ports = sorted(
        (port.partition("/")[0], port.partition("/")[2] or "tcp") for port in other.config["ExposedPorts"] or ()
    )
    if ports:
        yield f"{prefix}_PORT={ports[0][1]}://{address}:{ports[0][0]}"
    for port, protocol in ports:
        name = f"{prefix}_PORT_{port}_{protocol.upper()}"
        yield f"{name}={protocol}://{address}:{port}"
        yield f"{name}_ADDR={address}"
        yield f"{name}_PORT={port}"
        yield f"{name}_PROTO={protocol}"


def names_of(ground: Ground, record: Container) -> list[str]:
    """The names that links of others give to this container: ``/parent/alias``."""
    found: list[str] = []
    for parent in ground.roster:
        if not parent.record.host_config["Links"]:
            continue
        found.extend(
            f"/{parent.record.name}/{alias}"
            for alias, live in targets(ground, parent.record)
            if live.record.id == record.id
        )
    return found


def remove(ground: Ground, path: str) -> None:
    """Take a link ``parent/alias`` away; raises NotFound."""
    parent, _, alias = path.strip("/").partition("/")
    live = ground.roster.find(parent)
    kept = [
        text
        for text in live.record.host_config["Links"] or ()
        if (text.partition(":")[2].rpartition("/")[2] or text) != alias
    ]
    if len(kept) == len(live.record.host_config["Links"] or ()):
        raise NotFound(f"No such link: /{path.strip('/')}")
    live.record.host_config["Links"] = kept or None
    ground.roster.save(live)
