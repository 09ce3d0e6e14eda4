"""What a follower of images decides: whom to follow, when a tag has moved, in which order to change over, who is well.

Pure.  Owns: the labels, and every verdict.  What is then done is in ``replace.py``, what a replacement takes over from
its predecessor in ``inherit.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from corten.engine.containers.health import HEALTHY, UNHEALTHY, Check
from corten.engine.containers.model import Container
from corten.engine.containers.status import Status
from corten.errors import Invalid
from corten.spec.digest import Digest
from corten.spec.reference import Reference

# The first that a container has decides.  The second is watchtower's, so that its users need to change nothing.
LABELS = ("com.corten.watch", "com.centurylinklabs.watchtower.enable")
ORDER_LABEL = "com.corten.watch.order"

_TRUE = frozenset({"1", "t", "true", "y", "yes", "on"})
_SHORTEST_ID = 4
# How long beyond its own schedule a health check may take to come to a verdict.
_SLACK = 30.0


class Order(StrEnum):
    """Which of the two runs alone for a moment: nobody, or nobody but one."""

    START_FIRST = "start-first"
    STOP_FIRST = "stop-first"


class Verdict(StrEnum):
    """What a look at the registry says."""

    CURRENT = "up to date"
    MOVED = "moved"
    BAD = "known to be bad"


class Trial(StrEnum):
    """How a new container does."""

    WAIT = "wait"
    PASSED = "passed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The state of a trial, and why it failed."""

    trial: Trial
    reason: str = ""


_WAIT, _PASSED = Judgement(Trial.WAIT), Judgement(Trial.PASSED)


def is_followed(labels: Mapping[str, str]) -> bool:
    """True if the container's labels ask for it."""
    for name in LABELS:
        if name in labels:
            return labels[name].strip().lower() in _TRUE
    return False


def target(record: Container) -> Reference:
    """The tag that the container follows; raises Invalid where its image was given by what never moves."""
    name = record.image_name
    is_short_id = len(name) >= _SHORTEST_ID and record.image_id.removeprefix("sha256:").startswith(name)
    if name.startswith("sha256:") or is_short_id:
        raise Invalid(f"not followed: {name} is an image's id, which never moves")
    reference = Reference.parse(name)
    if reference.digest is not None:
        raise Invalid(f"not followed: {reference.familiar()} is pinned to a digest, which never moves")
    return reference


def obstacle(record: Container, sharers: Collection[str]) -> str:
    """Why the container cannot be replaced now; empty if it can.  ``sharers`` have joined its namespaces."""
    if record.state.status is not Status.RUNNING:
        return f"not followed: the container is {record.state.status}"
    if sharers:
        return f"not followed: {', '.join(sorted(sharers))} shares its namespaces and would lose them"
    return ""


def judge(known: Collection[Digest], remote: Digest, bad: str) -> Verdict:
    """``known`` are the digests that the registry has had for the container's image."""
    if remote in known:
        return Verdict.CURRENT
    return Verdict.BAD if str(remote) == bad else Verdict.MOVED


def order(record: Container) -> Order:
    """The label's word, else: two at once only where they cannot get in each other's way."""
    if label := record.labels.get(ORDER_LABEL):
        try:
            return Order(label)
        except ValueError:
            raise Invalid(f"{ORDER_LABEL} is {' or '.join(Order)}, not {label!r}") from None
    return Order.STOP_FIRST if _excludes_others(record) else Order.START_FIRST


def _excludes_others(record: Container) -> bool:
    host = record.host_config
    mode = record.network_mode
    if host["PortBindings"] or mode == "host" or mode.startswith("container:") or record.config["MacAddress"]:
        return True
    if any(_has_fixed_address(settings) for settings in record.endpoints.values()):
        return True
    # Two writers on one volume are what many programs (databases first) do not survive.
    return any(point.rw and point.type in ("volume", "bind") for point in record.mounts)


def _has_fixed_address(settings: Mapping[str, object]) -> bool:
    ipam = settings.get("IPAMConfig")
    fixed = isinstance(ipam, Mapping) and (ipam.get("IPv4Address") or ipam.get("IPv6Address"))
    return bool(fixed or settings.get("MacAddress"))


def patience(record: Container) -> float:
    """Seconds after which a health check must have come to its verdict."""
    check = Check.parse(record.config)
    if check is None:
        return 0.0
    return check.start_period + check.retries * (check.interval + check.timeout) + _SLACK


def trial(record: Container, elapsed: float, grace: float) -> Judgement:
    """How a new container does, ``elapsed`` seconds after its start: its health check decides, else a time of grace."""
    state = record.state
    if state.status is not Status.RUNNING:
        told = f": {state.error}" if state.error else ""
        return Judgement(Trial.FAILED, f"the new container is {state.status} (exit status {state.exit_code}){told}")
    if Check.parse(record.config) is None:
        return _PASSED if elapsed >= grace else _WAIT
    status = state.health.status if state.health else ""
    if status == HEALTHY:
        return _PASSED
    if status == UNHEALTHY:
        last = str(state.health.log[-1].get("Output", "")).strip() if state.health and state.health.log else ""
        return Judgement(Trial.FAILED, "the new container is unhealthy" + (f": {last[:200]}" if last else ""))
    if elapsed > patience(record):
        return Judgement(Trial.FAILED, "the health check of the new container comes to no verdict")
    return _WAIT
