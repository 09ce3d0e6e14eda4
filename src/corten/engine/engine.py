"""The engine: one value that holds a service for each noun.

Owns: nothing but the list.  ``daemon/app.py`` builds it; handlers of ``server/routes/`` call it.
"""

from __future__ import annotations

from dataclasses import dataclass

from corten.engine.containers.service import ContainerService
from corten.engine.events import Events
from corten.engine.execs.service import ExecService
from corten.engine.system import System


@dataclass(frozen=True, slots=True)
class Engine:
    """All services, built once, in ``daemon/app.py``."""

    containers: ContainerService
    execs: ExecService
    events: Events
    system: System
