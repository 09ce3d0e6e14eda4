"""What registries post when somebody pushed: the envelope of Docker's registry (and ours), and the Hub's.

Pure.  Owns: reading them.  A notice is only a hint where to look: what is pulled, and from where, is never taken from
it, so that the worst that a forged one can do is one more question to a registry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from corten.errors import Invalid
from corten.spec.reference import Reference


@dataclass(frozen=True, slots=True)
class Push:
    """A tag that was pushed.  Not its registry: that has one name for who pushes and another for who pulls."""

    repository: str
    tag: str

    def concerns(self, reference: Reference) -> bool:
        """True if the reference may have moved."""
        return reference.repository == self.repository and reference.tag == self.tag


def parse(body: Any) -> tuple[Push, ...]:
    """The pushes that a notice tells; raises Invalid for what is no notice."""
    if isinstance(body, Mapping):
        if isinstance(events := body.get("events"), list):
            return tuple(dict.fromkeys(push for event in events if (push := _event(event))))
        if isinstance(body.get("push_data"), Mapping) and isinstance(body.get("repository"), Mapping):
            push = _push(body["repository"].get("repo_name"), body["push_data"].get("tag"))
            return (push,) if push else ()
    raise Invalid('this is no notice of a registry: neither "events" nor "push_data" and "repository"')


def _event(event: Any) -> Push | None:
    if not isinstance(event, Mapping) or event.get("action") != "push" or not isinstance(event.get("target"), Mapping):
        return None
    return _push(event["target"].get("repository"), event["target"].get("tag"))


def _push(repository: Any, tag: Any) -> Push | None:
    """Blobs and manifests that are pushed without a tag move none."""
    if not isinstance(repository, str) or not isinstance(tag, str) or not repository or not tag:
        return None
    return Push(repository, tag)
