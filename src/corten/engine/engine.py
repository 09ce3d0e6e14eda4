"""The engine: one value that holds a service for each noun.

Owns: nothing but the list.  ``daemon/app.py`` builds it; handlers of ``server/routes/`` call it.
"""

from __future__ import annotations

from dataclasses import dataclass

from corten.buildkit.service import BuildKit
from corten.engine.budget.service import BudgetService
from corten.engine.builds.service import BuildService
from corten.engine.commits import Commits
from corten.engine.containers.service import ContainerService
from corten.engine.events import Events
from corten.engine.execs.service import ExecService
from corten.engine.images.service import ImageService
from corten.engine.networks.service import NetworkService
from corten.engine.system import System
from corten.engine.upkeep import Upkeep
from corten.engine.usage import Usage
from corten.engine.volumes.service import VolumeService
from corten.engine.watch.service import WatchService


@dataclass(frozen=True, slots=True)
class Engine:
    """All services, built once, in ``daemon/app.py``."""

    containers: ContainerService
    execs: ExecService
    images: ImageService
    commits: Commits
    builds: BuildService
    buildkit: BuildKit
    networks: NetworkService
    volumes: VolumeService
    events: Events
    system: System
    usage: Usage
    upkeep: Upkeep
    budget: BudgetService
    watch: WatchService
