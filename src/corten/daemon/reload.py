"""SIGHUP: ``daemon.json`` is read again, and what dockerd changes without a restart is changed.

Owns: which settings those are, and who is told.  A file that cannot be read changes nothing, and is logged.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from corten.daemon.config import Config, parse
from corten.engine.events import Events
from corten.errors import CortenError

log = logging.getLogger(__name__)

RELOADABLE = (
    "debug",
    "labels",
    "insecure_registries",
    "registry_mirrors",
    "max_concurrent_downloads",
    "max_concurrent_uploads",
    "shutdown_timeout",
)
"""The others of a changed file wait for a restart, as dockerd's do."""


@dataclass(slots=True)
class Reloader:
    """Bound to the command line that the daemon was started with."""

    arguments: Sequence[str]
    config: Config
    apply: Callable[[Config], None]
    events: Events

    def __call__(self) -> None:
        """Read again; never raises."""
        try:
            found, _ = parse(self.arguments)
            changed = {name: getattr(found, name) for name in RELOADABLE}
            self.config = self.config.evolve(**changed)
            self.apply(self.config)
        except (CortenError, SystemExit) as error:
            log.error("reloading the configuration: %s", error)
            return
        logging.getLogger().setLevel(logging.DEBUG if self.config.debug else logging.INFO)
        told = {name.replace("_", "-"): json.dumps(value) for name, value in changed.items()}
        self.events.publish("daemon", "reload", "corten", told)
        log.info("configuration reloaded")
