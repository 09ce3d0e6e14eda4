"""Docker's contexts: named daemons below ``~/.docker/contexts``, read and written in Docker's own layout.

    contexts/meta/<sha256 of the name>/meta.json             {"Name", "Metadata", "Endpoints": {"docker": {"Host", …}}}
    contexts/tls/<sha256 of the name>/docker/{ca,cert,key}.pem

Owns: that layout.  Which context is in use is Corten's own fact, kept apart from Docker's (file ``corten-context``):
a user of both does not want ``docker context use`` to send ``corten`` to dockerd.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from typing import Any, NamedTuple

from corten.client.address import Address, Tls, tls_files
from corten.errors import Conflict, Invalid, NotFound

DEFAULT = "default"


class Context(NamedTuple):
    """A named daemon."""

    name: str
    host: str
    description: str = ""
    skip_verify: bool = False
    folder: str = ""  # of its TLS files, empty where there are none

    def address(self) -> Address:
        """Where it is; raises Invalid."""
        tls: Tls | None = None
        if self.folder:
            tls = tls_files(self.folder, verify=not self.skip_verify)
        return Address.parse(self.host, tls)


def _id(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _meta(config: str, name: str) -> str:
    return os.path.join(config, "contexts", "meta", _id(name), "meta.json")


def _tls(config: str, name: str) -> str:
    return os.path.join(config, "contexts", "tls", _id(name), "docker")


def get(config: str, name: str) -> Context:
    """The context of a name; raises NotFound."""
    try:
        with open(_meta(config, name), encoding="utf-8") as file:
            return _read(config, json.load(file))
    except FileNotFoundError as error:
        raise NotFound(f'context "{name}": context not found') from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Invalid(f'context "{name}": {error}') from error


def _read(config: str, data: dict[str, Any]) -> Context:
    name = str(data["Name"])
    endpoint = data["Endpoints"]["docker"]
    tls = _tls(config, name)
    return Context(
        name,
        str(endpoint.get("Host") or ""),
        str((data.get("Metadata") or {}).get("Description") or ""),
        bool(endpoint.get("SkipTLSVerify")),
        tls if os.path.isdir(tls) else "",
    )


def all_of(config: str) -> list[Context]:
    """Every context that can be read, by name."""
    root = os.path.join(config, "contexts", "meta")
    found: list[Context] = []
    for entry in sorted(os.listdir(root)) if os.path.isdir(root) else []:
        path = os.path.join(root, entry, "meta.json")
        # One that cannot be read must not hide the others.
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError), open(path, encoding="utf-8") as file:
            found.append(_read(config, json.load(file)))
    return sorted(found)


def put(config: str, context: Context, *, replace: bool = False, files: dict[str, str] | None = None) -> None:
    """Write a context and copies of its TLS files; raises Conflict where the name is taken, Invalid for a bad one."""
    name = context.name
    if name == DEFAULT:
        raise Invalid('"default" is a reserved context name')
    if not name or not name[0].isalnum() or not all(c.isalnum() or c in "_.+-" for c in name) or not name.isascii():
        raise Invalid(f'context name "{name}" is invalid: names are letters, digits and "_.+-"')
    path = _meta(config, name)
    if os.path.exists(path) and not replace:
        raise Conflict(f'context "{name}" already exists')
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    metadata = {"Description": context.description} if context.description else {}
    endpoint = {"Host": context.host, "SkipTLSVerify": context.skip_verify}
    draft = f"{path}.{os.getpid()}"
    with open(draft, "w", encoding="utf-8") as file:
        json.dump({"Name": name, "Metadata": metadata, "Endpoints": {"docker": endpoint}}, file)
    os.replace(draft, path)
    for target, source in (files or {}).items():
        os.makedirs(_tls(config, name), mode=0o700, exist_ok=True)
        shutil.copyfile(source, os.path.join(_tls(config, name), target))


def remove(config: str, name: str) -> None:
    """Forget a context; raises NotFound."""
    get(config, name)
    shutil.rmtree(os.path.dirname(_meta(config, name)), ignore_errors=True)
    shutil.rmtree(os.path.dirname(_tls(config, name)), ignore_errors=True)


def current(config: str) -> str:
    """The name of the context in use."""
    try:
        with open(os.path.join(config, "corten-context"), encoding="utf-8") as file:
            return file.read().strip() or DEFAULT
    except OSError:
        return DEFAULT


def use(config: str, name: str) -> None:
    """Make a context the one in use; raises NotFound."""
    if name != DEFAULT:
        get(config, name)
    os.makedirs(config, mode=0o700, exist_ok=True)
    with open(os.path.join(config, "corten-context"), "w", encoding="utf-8") as file:
        file.write(name + "\n")
