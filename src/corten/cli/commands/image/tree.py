"""``corten image tree``: images by the layers that they share, with what each layer adds."""

from __future__ import annotations

from typing import Any

from corten.cli.command import Call, Command
from corten.cli.output import listing, sizes
from corten.client import paths


def run(call: Call) -> None:
    """Draw the forest: shared bottom layers once, images as leaves."""
    found = call.session.get("/images/json", {"all": call.options.on("all")})
    root = Node("", 0, "")
    for item in found:
        _add(call, root, item)
    lines = draw(root)
    if lines:
        print("\n".join(lines))


class Node:
    """A layer: its size, the step that made it, the images that end here."""

    def __init__(self, layer: str, size: int, step: str) -> None:
        self.layer = layer
        self.size = size
        self.step = step
        self.names: list[str] = []
        self.children: dict[str, Node] = {}


def _add(call: Call, root: Node, item: dict[str, Any]) -> None:
    inspected = call.session.get(paths.image(item["Id"], "/json"))
    history = call.session.get(paths.image(item["Id"], "/history"))
    # The history is newest first and also has steps that made no layer.
    steps = [step for step in reversed(history) if step.get("Size")]
    layers = (inspected.get("RootFS") or {}).get("Layers") or []
    node = root
    for at, layer in enumerate(layers):
        step = steps[at] if at < len(steps) and len(steps) == len(layers) else {}
        node = node.children.setdefault(
            layer, Node(layer, int(step.get("Size") or 0), str(step.get("CreatedBy") or ""))
        )
    names = [name for name in item.get("RepoTags") or () if name != "<none>:<none>"]
    node.names += names or [listing.short_id(item["Id"])]


def draw(root: Node) -> list[str]:
    """The forest as lines."""
    return [line for child in root.children.values() for line in ("", *_draw(child, "", ""))][1:]


def _draw(node: Node, first: str, rest: str) -> list[str]:
    text = f"{listing.short_id(node.layer)}  {sizes.human(node.size):>7}"
    if node.names:
        text += "  " + ", ".join(node.names)
    if node.step:
        text += "  " + listing.ellipsis(" ".join(node.step.split()), 60)
    lines = [first + text]
    children = list(node.children.values())
    for at, child in enumerate(children):
        last = at == len(children) - 1
        lines += _draw(child, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))
    return lines


COMMAND = Command(
    run,
    "[OPTIONS]",
    """
    -a, --all                Show all images (default hides intermediate images)
    """,
    most=0,
)
