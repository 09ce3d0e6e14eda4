"""``corten inspect``: whatever bears the name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from corten.cli import inspection
from corten.cli.command import Call, Command
from corten.client import paths
from corten.errors import CortenError, Invalid, NotFound, NotImplementedYet

# In the order in which a name is tried; those after volume exist only on a swarm or with plugins.
KINDS = ("container", "image", "network", "volume")
FOREIGN = ("config", "node", "plugin", "secret", "service", "task")


def run(call: Call) -> int:
    """Inspect each."""
    kind = call.options.text("type")
    if kind in FOREIGN:
        raise NotImplementedYet(f"there is no {kind} in Corten")
    if kind and kind not in KINDS:
        raise Invalid(f'"{kind}" is not a valid value for --type')
    if call.options.on("size") and kind not in ("", "container"):
        raise Invalid("--size is only supported for containers")
    kinds = (kind,) if kind else KINDS
    return inspection.show(call, lambda name: _first(call, kinds, name))


def _first(call: Call, kinds: tuple[str, ...], name: str) -> Any:
    size = {"size": call.options.on("size")}
    getters: dict[str, Callable[[], Any]] = {
        "container": lambda: call.session.get(paths.container(name, "/json"), size),
        "image": lambda: call.session.get(paths.image(name, "/json")),
        "network": lambda: call.session.get(paths.network(name)),
        "volume": lambda: call.session.get(paths.volume(name)),
    }
    for kind in kinds:
        try:
            return getters[kind]()
        except NotFound:
            if len(kinds) == 1:
                raise
        except Invalid as error:
            # A name that one kind could not bear (an image reference, a path) may be another's.
            if len(kinds) == 1:
                raise
            if "invalid" not in error.message.lower():
                raise
    raise _no_such_object(name)


def _no_such_object(name: str) -> CortenError:
    return NotFound(f"Error: No such object: {name}")


COMMAND = Command(
    run,
    "[OPTIONS] NAME|ID [NAME|ID...]",
    inspection.FLAGS
    + """
    -s, --size               Display total file sizes if the type is container
        --type=string        Only inspect objects of the given type
    """,
    least=1,
)
