"""Images as the API prints them: summary, inspect, history.

Owns: the shapes of v1.50; server/routes/images.py bends them for older clients.  Pure: all numbers come in.
For which images are printed read listing.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from corten.api.times import seconds_of
from corten.spec.digest import Digest
from corten.spec.image import chain_ids
from corten.spec.platform import Platform
from corten.spec.reference import Reference
from corten.store.images import ImageRecord

UNKNOWN = -1

# docker: fields of Config that are printed even when empty (28.2, API 1.50).
CONFIG_DEFAULTS: Mapping[str, Any] = {
    "User": "",
    "Env": None,
    "Cmd": None,
    "Volumes": None,
    "WorkingDir": "",
    "Entrypoint": None,
    "OnBuild": None,
    "Labels": None,
}
CONFIG_FIELDS = (*CONFIG_DEFAULTS, "ExposedPorts", "StopSignal", "ArgsEscaped", "Healthcheck", "Shell")


def labels_of(record: ImageRecord) -> dict[str, str]:
    """The labels in its config."""
    labels = record.config.config.get("Labels")
    return {str(key): str(value) for key, value in labels.items()} if isinstance(labels, Mapping) else {}


def tags_of(record: ImageRecord) -> list[str]:
    """Names with a tag, as people write them."""
    return [reference.familiar() for reference in record.references]


def digests_of(record: ImageRecord) -> list[str]:
    """Names with the digest of a manifest."""
    return [reference.familiar() for reference in record.repo_digests]


def summary(record: ImageRecord, *, shared: int = UNKNOWN, containers: int = UNKNOWN) -> dict[str, Any]:
    """A row of the list."""
    return {
        "Containers": containers,
        "Created": int(seconds_of(record.config.created)),
        "Id": str(record.id),
        "Labels": labels_of(record) or None,
        "ParentId": str(record.parent) if record.parent else "",
        "RepoDigests": digests_of(record),
        "RepoTags": tags_of(record),
        "SharedSize": shared,
        "Size": record.size,
    }


def inspect(
    record: ImageRecord, driver: Mapping[str, Any], last_tagged: str, held_by: Sequence[Reference] = ()
) -> dict[str, Any]:
    """All about one image; ``held_by`` are the names of its index, where it has none of its own."""
    body = record.config.body
    history = record.config.history
    comment = body.get("comment") or (history[-1].get("comment") if history else "") or ""
    view: dict[str, Any] = {
        "Id": str(record.id),
        "RepoTags": tags_of(record) or [name.familiar() for name in held_by if name.tag],
        "RepoDigests": digests_of(record) or [name.familiar() for name in held_by if name.digest],
        "Parent": str(record.parent) if record.parent else "",
        "Comment": comment,
        "DockerVersion": body.get("docker_version", ""),
        "Author": record.config.author,
        "Config": config_view(record.config.config),
        "Architecture": record.config.architecture,
        "Os": record.config.os,
        "Size": record.size,
        "GraphDriver": dict(driver),
        "RootFS": {"Type": "layers", "Layers": [str(item) for item in record.config.diff_ids]},
        "Metadata": {"LastTagTime": last_tagged},
    }
    if record.config.created:
        view["Created"] = record.config.created
    if record.config.variant:
        view["Variant"] = record.config.variant
    if body.get("os.version"):
        view["OsVersion"] = body["os.version"]
    return view


def config_view(config: Mapping[str, Any]) -> dict[str, Any]:
    """How to run it, without what an image does not decide."""
    view = dict(CONFIG_DEFAULTS)
    view.update({name: config[name] for name in CONFIG_FIELDS if config.get(name) not in (None, "")})
    return view


def history(
    record: ImageRecord, size_of: Callable[[Digest], int], parents: Sequence[ImageRecord]
) -> list[dict[str, Any]]:
    """Its steps, newest first; ``parents`` are the images it was built through, nearest first."""
    chains = iter(chain_ids(record.config.diff_ids))
    rows: list[dict[str, Any]] = []
    for item in record.config.history:
        chain = None if item.get("empty_layer") else next(chains, None)
        rows.append(
            {
                "Comment": item.get("comment", ""),
                "Created": int(seconds_of(str(item.get("created") or ""))),
                "CreatedBy": item.get("created_by", ""),
                "Id": "<missing>",
                "Size": size_of(chain) if chain is not None else 0,
                "Tags": None,
            }
        )
    rows.reverse()
    for row, image in zip(rows, (record, *parents), strict=False):
        row["Id"] = str(image.id)
        row["Tags"] = tags_of(image) or None
    return rows


def image_data(platform: Platform, containers: Sequence[str], unpacked: int) -> dict[str, Any]:
    """``ImageData`` of a row of ``Manifests``."""
    return {"Platform": platform.to_json(), "Containers": list(containers), "Size": {"Unpacked": unpacked}}
