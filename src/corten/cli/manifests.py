"""Lists of manifests under way: what ``corten manifest`` keeps between create and push.

    <configuration>/manifests/<list>/<image>     a JSON object: Ref, Descriptor, Raw, and the manifest itself

The files are those of Docker's own client, so that either can go on with what the other began.  Owns: the files, the
names of lists and images, the document that is pushed.  Registries are the daemon's to ask.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
from typing import Any

from corten.cli import reference
from corten.cli.command import Call
from corten.client import credentials
from corten.client.session import quote
from corten.errors import Conflict, CortenError, NotFound

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
# docker: the order of the fields of a platform, which decides the digest of a list.
PLATFORM = ("architecture", "os", "os.version", "os.features", "variant")

Entry = dict[str, Any]


def full(name: str) -> str:
    """A name with registry and tag written out."""
    reference.check(name)
    repository, tag, digest = reference.split(name)
    end = (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    return f"{reference.with_registry(repository)}{end or ':latest'}"


def familiar(name: str) -> str:
    """As Docker shows it: without the registry that short names leave out."""
    return name.removeprefix("docker.io/").removeprefix("library/") if name.startswith("docker.io/") else name


class Lists:
    """The lists of one user."""

    def __init__(self, folder: str) -> None:
        self._folder = os.path.join(folder, "manifests")

    def has(self, name: str) -> bool:
        """Is there a list of this name?"""
        return os.path.isdir(self._directory(name))

    def entries(self, name: str) -> list[Entry]:
        """Its manifests, in the order of their files; raises NotFound."""
        try:
            files = sorted(os.listdir(self._directory(name)))
        except FileNotFoundError:
            raise NotFound(f"No such manifest: {name}") from None
        return [self._read(os.path.join(self._directory(name), file)) for file in files if not file.endswith("~")]

    def entry(self, name: str, image: str) -> Entry:
        """One of its manifests; raises NotFound."""
        path = os.path.join(self._directory(name), _file(image))
        if not os.path.exists(path):
            raise NotFound(f"manifest for image {familiar(image)} does not exist in {familiar(name)}")
        return self._read(path)

    def keep(self, name: str, image: str, entry: Entry) -> None:
        """Write one, whole or not at all."""
        os.makedirs(self._directory(name), mode=0o700, exist_ok=True)
        path = os.path.join(self._directory(name), _file(image))
        with open(f"{path}~", "w", encoding="utf-8") as file:
            json.dump(entry, file, separators=(",", ":"))
        os.replace(f"{path}~", path)

    def remove(self, name: str) -> None:
        """Forget a list; raises NotFound."""
        if not self.has(name):
            raise NotFound(f"No such manifest: {name}")
        shutil.rmtree(self._directory(name))

    def _directory(self, name: str) -> str:
        return os.path.join(self._folder, _file(name))

    def _read(self, path: str) -> Entry:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        if not isinstance(found, dict) or not isinstance(found.get("Descriptor"), dict):
            raise Conflict(f"{path} is no manifest")
        return found


def lists(call: Call) -> Lists:
    """Those beside the user's configuration."""
    return Lists(os.path.dirname(call.config.path))


def _file(name: str) -> str:
    return full(name).replace("/", "_").replace(":", "-")


def fetch(call: Call, name: str, *, verbose: bool = False) -> dict[str, Any]:
    """What a registry has under a name; raises NotFound in Docker's words."""
    query = {"insecure": call.options.on("insecure"), "verbose": verbose}
    try:
        found = call.session.request("GET", _path(name), query, b"", _who(call, name)).json()
    except NotFound as error:
        raise NotFound(f"no such manifest: {familiar(full(name))}") from error
    return found if isinstance(found, dict) else {}


def push(call: Call, name: str, entries: list[Entry]) -> dict[str, Any]:
    """Put a list and what it lists."""
    media_type, data = document(entries)
    body = {
        "MediaType": media_type,
        "Data": base64.b64encode(data).decode(),
        "Sources": [str(entry.get("Ref", "")) for entry in entries],
    }
    query = {"insecure": call.options.on("insecure")}
    told = call.session.post(_path(name), query, body, _who(call, name))
    return told if isinstance(told, dict) else {}


def document(entries: list[Entry]) -> tuple[str, bytes]:
    """The list as it is pushed, byte for byte as Docker's client prints it."""
    descriptors = [entry["Descriptor"] for entry in entries]
    is_oci = bool(descriptors) and descriptors[0].get("mediaType") == OCI_MANIFEST
    media_type = OCI_INDEX if is_oci else DOCKER_LIST
    return media_type, _printed(media_type, descriptors).encode()


def pretty_list(found: dict[str, Any]) -> str:
    """A registry's list, in the form of ours."""
    body = parsed(found)
    return _printed(str(body.get("mediaType") or found["Descriptor"].get("mediaType")), body.get("manifests") or [])


def _printed(media_type: str, descriptors: list[dict[str, Any]]) -> str:
    manifests = [
        {
            "mediaType": each.get("mediaType"),
            "size": each.get("size"),
            "digest": each.get("digest"),
            "platform": ordered(each.get("platform") or {}),
        }
        for each in descriptors
    ]
    body = {"schemaVersion": 2, "mediaType": media_type, "manifests": manifests}
    return json.dumps(body, indent=3, ensure_ascii=False)


def ordered(platform: dict[str, Any]) -> dict[str, Any]:
    """A platform without what is empty."""
    return {name: platform[name] for name in PLATFORM if platform.get(name)}


def entry_of(found: dict[str, Any]) -> Entry:
    """A fetched manifest as the files have it."""
    kind = "OCIManifest" if found["Descriptor"].get("mediaType") == OCI_MANIFEST else "SchemaV2Manifest"
    descriptor = {**found["Descriptor"], "platform": ordered(found["Descriptor"].get("platform") or {})}
    return {"Ref": found["Ref"], "Descriptor": descriptor, "Raw": found["Raw"], kind: parsed(found)}


def parsed(found: dict[str, Any]) -> Any:
    """The document itself."""
    try:
        return json.loads(base64.b64decode(found["Raw"]))
    except ValueError as error:
        raise CortenError(f"the registry's manifest cannot be read: {error}") from error


def show(value: Any) -> None:
    """Print it as Docker does."""
    print(json.dumps(value, indent="\t", ensure_ascii=False))


def _path(name: str) -> str:
    return f"/corten/manifests/{quote(full(name), '/:@')}"


def _who(call: Call, name: str) -> dict[str, str]:
    repository, _, _ = reference.split(full(name))
    return {"X-Registry-Auth": credentials.lookup(call.config, credentials.registry_of(repository)).header()}
