"""All network drivers by name."""

from __future__ import annotations

from corten.errors import NotFound
from corten.network.drivers.base import Driver
from corten.network.drivers.bridge import BridgeDriver
from corten.network.drivers.child import ChildDriver
from corten.network.drivers.host import HostDriver
from corten.network.drivers.none import NoneDriver

DRIVERS: dict[str, Driver] = {
    driver.name: driver
    for driver in (BridgeDriver(), HostDriver(), NoneDriver(), ChildDriver("macvlan"), ChildDriver("ipvlan"))
}


def driver(name: str) -> Driver:
    found = DRIVERS.get(name)
    if found is None:
        raise NotFound(f'could not find plugin "{name}" in v1 plugin registry: plugin not found')
    return found
