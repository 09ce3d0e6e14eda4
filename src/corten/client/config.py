"""The user's configuration file, ``~/.docker/config.json``, shared with Docker's own client.

Owns: where it is, reading it, writing it back without losing what others put there.
For what its ``auths`` mean read credentials.py.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from typing import Any

from corten.errors import Invalid


def folder(environ: Mapping[str, str] = os.environ) -> str:
    """The directory of the configuration."""
    return environ.get("CORTEN_CONFIG") or environ.get("DOCKER_CONFIG") or os.path.join(_home(), ".docker")


def _home() -> str:
    return os.path.expanduser("~")


class Config:
    """The file as it was read; ``data`` keeps what we do not know."""

    def __init__(self, path: str, data: dict[str, Any]) -> None:
        self.path = path
        self.data = data

    @classmethod
    def load(cls, where: str | None = None) -> Config:
        """Read the file; an absent one is empty.  Raises Invalid."""
        path = os.path.join(where or folder(), "config.json")
        try:
            with open(path, encoding="utf-8") as file:
                data = json.load(file)
        except FileNotFoundError:
            return cls(path, {})
        except (OSError, ValueError) as error:
            raise Invalid(f"Error loading config file: {path}: {error}") from error
        if not isinstance(data, dict):
            raise Invalid(f"Error loading config file: {path}: not an object")
        return cls(path, data)

    def text(self, name: str) -> str:
        """A string setting, empty where absent."""
        value = self.data.get(name)
        return value if isinstance(value, str) else ""

    def table(self, name: str) -> dict[str, Any]:
        """An object setting, empty where absent."""
        value = self.data.get(name)
        return value if isinstance(value, dict) else {}

    def save(self) -> None:
        """Write the file beside and rename it into place, readable by its owner only."""
        # The file may be a link into a dotfiles repository: replace what it points to.
        path = os.path.realpath(self.path)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        draft = f"{path}.{os.getpid()}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                json.dump(self.data, file, indent="\t")
            os.replace(draft, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(draft)
            raise
