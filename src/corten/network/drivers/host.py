"""The driver ``host``: the container shares the host's network namespace; there is nothing to make."""

from __future__ import annotations

from corten.network.drivers.none import NoneDriver


class HostDriver(NoneDriver):
    """See ``base.Driver``."""

    name = "host"
