"""Who the daemon is to registries when nobody asks it to pull: the ``auths`` of a docker ``config.json``.

Owns: reading the file, anew each time, so that a ``docker login`` counts at once.  Credential helpers are programs of a
user's session: a daemon has none, and says so.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

from corten.distribution.model import NOBODY, Credentials
from corten.engine.images import credentials as auth

log = logging.getLogger(__name__)

DEFAULT_FILE = Path("/root/.docker/config.json")


class Wallet:
    """The file."""

    def __init__(self, path: Path | None) -> None:
        self._path = path or DEFAULT_FILE

    def lookup(self, registry: str) -> Credentials:
        """The credentials for a registry; nobody's where there are none."""
        try:
            body = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return NOBODY
        except (OSError, ValueError) as error:
            log.warning("credentials in %s: %s", self._path, error)
            return NOBODY
        entries = body.get("auths") if isinstance(body, dict) else None
        if not isinstance(entries, dict):
            return NOBODY
        found = auth.select({name: entry for name, entry in entries.items() if isinstance(entry, dict)}, registry)
        if found == NOBODY and (body.get("credsStore") or registry in (body.get("credHelpers") or {})):
            log.warning("credentials for %s are with a helper, which the daemon cannot ask: %s", registry, self._path)
        return found
