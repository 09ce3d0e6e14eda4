"""``corten volume create``: a new volume."""

from __future__ import annotations

from corten.cli import values
from corten.cli.command import Call, Command
from corten.cli.containers import env
from corten.errors import NotImplementedYet

# They exist for volumes of a swarm, of which Corten has none.
CLUSTER = (
    "availability",
    "group",
    "limit-bytes",
    "required-bytes",
    "scope",
    "secret",
    "sharing",
    "topology-preferred",
    "topology-required",
    "type",
)


def run(call: Call) -> None:
    """Create one and print its name."""
    options = call.options
    for name in CLUSTER:
        if options.given(name):
            raise NotImplementedYet(f"--{name} is for cluster volumes, of which Corten has none")
    body = {
        "Name": call.arguments[0] if call.arguments else "",
        "Driver": options.text("driver"),
        "DriverOpts": values.pairs(options.many("opt")),
        "Labels": env.labels(options.many("label"), ()),
    }
    print(call.session.post("/volumes/create", body=body)["Name"])


COMMAND = Command(
    run,
    "[OPTIONS] [VOLUME]",
    """
        --availability=string(active)  Cluster volume availability
    -d, --driver=string(local)         Volume driver name
        --group=string                 Cluster volume group
        --label=list                   Set metadata for a volume
        --limit-bytes=bytes            Maximum size of the cluster volume
    -o, --opt=map                      Set driver specific options
        --required-bytes=bytes         Minimum size of the cluster volume
        --scope=string(single)         Cluster volume access scope
        --secret=map                   Cluster volume secrets
        --sharing=string(none)         Cluster volume access sharing
        --topology-preferred=list      A preferred topology of the cluster volume
        --topology-required=list       A required topology of the cluster volume
        --type=string(block)           Cluster volume access type
    """,
    most=1,
)
