"""When a container that has ended is started again: Docker's restart policies and back-off.  Pure."""

from __future__ import annotations

from corten.engine.containers.model import Container

FIRST_DELAY = 0.1
LONGEST_DELAY = 60.0
# A run that lasts this long was a success: the back-off begins anew.
SETTLED_AFTER = 10.0


def restarts(record: Container, exit_code: int) -> bool:
    """True if the policy wants another start after this end."""
    if record.has_been_stopped_by_hand:
        return False
    policy = record.host_config["RestartPolicy"]
    match policy["Name"]:
        case "always" | "unless-stopped":
            return True
        case "on-failure":
            retries = policy["MaximumRetryCount"]
            return exit_code != 0 and (not retries or record.restart_count < retries)
    return False


def restarts_with_daemon(record: Container) -> bool:
    """True if the container is to run again after the machine was restarted."""
    policy = record.host_config["RestartPolicy"]["Name"]
    if policy == "always":
        return record.has_been_started
    return (
        policy in ("unless-stopped", "on-failure") and not record.has_been_stopped_by_hand and record.has_been_started
    )


def delay_after(previous: float, ran_for: float) -> float:
    """Seconds to wait: doubled each time, begun anew after a run of ten seconds."""
    if not previous or ran_for >= SETTLED_AFTER:
        return FIRST_DELAY
    return min(previous * 2, LONGEST_DELAY)
