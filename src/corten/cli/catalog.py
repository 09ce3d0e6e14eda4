"""THE table of commands: path, module below commands/, summary; and the other spellings.

Owns: which words name which command.  A new command is a line here and a file there.
"""

from __future__ import annotations

COMMANDS: dict[str, tuple[str, str]] = {
    "builder prune": ("builder.prune", "Remove build cache"),
    "container attach": ("attach", "Attach local standard input, output, and error streams to a running container"),
    "container commit": ("commit", "Create a new image from a container's changes"),
    "container cp": ("cp", "Copy files/folders between a container and the local filesystem"),
    "container create": ("create", "Create a new container"),
    "container diff": ("diff", "Inspect changes to files or directories on a container's filesystem"),
    "container exec": ("exec", "Execute a command in a running container"),
    "container export": ("export", "Export a container's filesystem as a tar archive"),
    "container inspect": ("container.inspect", "Display detailed information on one or more containers"),
    "container kill": ("kill", "Kill one or more running containers"),
    "container logs": ("logs", "Fetch the logs of a container"),
    "container ls": ("ps", "List containers"),
    "container pause": ("pause", "Pause all processes within one or more containers"),
    "container port": ("port", "List port mappings or a specific mapping for the container"),
    "container prune": ("container.prune", "Remove all stopped containers"),
    "container rename": ("rename", "Rename a container"),
    "container restart": ("restart", "Restart one or more containers"),
    "container rm": ("rm", "Remove one or more containers"),
    "container run": ("run", "Create and run a new container from an image"),
    "container start": ("start", "Start one or more stopped containers"),
    "container stats": ("stats", "Display a live stream of container(s) resource usage statistics"),
    "container stop": ("stop", "Stop one or more running containers"),
    "container top": ("top", "Display the running processes of a container"),
    "container unpause": ("unpause", "Unpause all processes within one or more containers"),
    "container update": ("update", "Update configuration of one or more containers"),
    "container wait": ("wait", "Block until one or more containers stop, then print their exit codes"),
    "context create": ("context.create", "Create a context"),
    "context inspect": ("context.inspect", "Display detailed information on one or more contexts"),
    "context ls": ("context.ls", "List contexts"),
    "context rm": ("context.rm", "Remove one or more contexts"),
    "context show": ("context.show", "Print the name of the current context"),
    "context update": ("context.update", "Update a context"),
    "context use": ("context.use", "Set the current context"),
    "image bootstrap": ("image.bootstrap", "Make a base image from this machine's own sources, without a registry"),
    "image build": ("image.build", "Build an image from a Dockerfile"),
    "image diff": ("image.diff", "Show what each layer of an image changes, or how another image differs"),
    "image history": ("image.history", "Show the history of an image"),
    "image import": ("image.import_", "Import the contents from a tarball to create a filesystem image"),
    "image inspect": ("image.inspect", "Display detailed information on one or more images"),
    "image load": ("image.load", "Load an image from a tar archive or STDIN"),
    "image ls": ("image.ls", "List images"),
    "image prune": ("image.prune", "Remove unused images"),
    "image pull": ("image.pull", "Download an image from a registry"),
    "image push": ("image.push", "Upload an image to a registry"),
    "image rm": ("image.rm", "Remove one or more images"),
    "image save": ("image.save", "Save one or more images to a tar archive (streamed to STDOUT by default)"),
    "image tag": ("image.tag", "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE"),
    "image tree": ("image.tree", "Show images by the layers that they share, with what each layer adds"),
    "inspect": ("inspect", "Return low-level information on objects"),
    "login": ("login", "Authenticate to a registry"),
    "logout": ("logout", "Log out from a registry"),
    "manifest annotate": ("manifest.annotate", "Add additional information to a local image manifest"),
    "manifest create": (
        "manifest.create",
        "Create a local manifest list for annotating and pushing to a registry",
    ),
    "manifest inspect": ("manifest.inspect", "Display an image manifest, or manifest list"),
    "manifest push": ("manifest.push", "Push a manifest list to a repository"),
    "manifest rm": ("manifest.rm", "Delete one or more manifest lists from local storage"),
    "network connect": ("network.connect", "Connect a container to a network"),
    "network create": ("network.create", "Create a network"),
    "network disconnect": ("network.disconnect", "Disconnect a container from a network"),
    "network inspect": ("network.inspect", "Display detailed information on one or more networks"),
    "network ls": ("network.ls", "List networks"),
    "network prune": ("network.prune", "Remove all unused networks"),
    "network rm": ("network.rm", "Remove one or more networks"),
    "registry collect": ("registry.serve", "Remove what no image of a registry's store needs"),
    "registry htpasswd": ("registry.serve", "Make a line of a registry's password file"),
    "registry serve": ("registry.serve", "Serve an image registry from this machine"),
    "search": ("search", "Search a registry for images"),
    "system exposures": ("system.exposures", "Show what of the containers is reachable, and from where"),
    "system budget": ("system.budget", "Show what the disk budget would remove and why, or remove it now"),
    "system check": ("system.check", "Verify every record, blob and layer of the store"),
    "system df": ("system.df", "Show disk usage"),
    "system dial-stdio": ("system.dial_stdio", "Join standard input and output to the daemon's socket"),
    "system events": ("system.events", "Get real time events from the server"),
    "system info": ("system.info", "Display system-wide information"),
    "system prune": ("system.prune", "Remove unused data"),
    "version": ("version", "Show the version information"),
    "volume create": ("volume.create", "Create a volume"),
    "volume inspect": ("volume.inspect", "Display detailed information on one or more volumes"),
    "volume ls": ("volume.ls", "List volumes"),
    "volume prune": ("volume.prune", "Remove unused local volumes"),
    "volume rm": ("volume.rm", "Remove one or more volumes"),
    "watch": ("watch", "Show containers that follow their image's tag, or look for news now"),
}

GROUPS: dict[str, str] = {
    "builder": "Manage builds",
    "container": "Manage containers",
    "context": "Manage contexts",
    "image": "Manage images",
    "manifest": "Manage manifest lists of registries",
    "network": "Manage networks",
    "registry": "Run an image registry",
    "system": "Manage the daemon",
    "volume": "Manage volumes",
}

_TOP = (
    "attach commit cp create diff exec export kill logs pause port rename restart rm run start stats stop top unpause "
    "update wait"
)
_LISTS = ("container", "context", "image", "network", "volume")

ALIASES: dict[str, str] = {
    **{name: f"container {name}" for name in _TOP.split()},
    **{name: f"image {name}" for name in ["build", "history", "import", "load", "pull", "push", "save", "tag"]},
    **{f"{group} list": f"{group} ls" for group in _LISTS},
    **{f"{group} remove": f"{group} rm" for group in _LISTS},
    "builder build": "image build",
    "container ps": "container ls",
    "events": "system events",
    "images": "image ls",
    "info": "system info",
    "ps": "container ls",
    "rmi": "image rm",
}

# What Docker's client has and Corten has not, so that it can say so.
FOREIGN = (
    *("buildx", "checkpoint", "compose", "config", "node"),
    *("plugin", "secret", "service", "stack", "swarm", "trust"),
)

FREQUENT = ["run", "exec", "ps", "build", "pull", "push", "images", "login", "logout", "search", "version", "info"]


def canonical(path: str) -> str:
    """The one name of a command."""
    return ALIASES.get(path, path)


def find(words: list[str]) -> tuple[str, int] | None:
    """The command (or group) that the words begin with, and how many of them name it."""
    if not words:
        return None
    both = " ".join(words[:2])
    if len(words) > 1 and (both in COMMANDS or both in ALIASES):
        return both, 2
    first = words[0]
    if first in COMMANDS or first in ALIASES or first in GROUPS:
        return first, 1
    return None


def members(group: str) -> dict[str, str]:
    """The commands of a group with their summaries."""
    found = {path.partition(" ")[2]: text for path, (_, text) in COMMANDS.items() if path.startswith(f"{group} ")}
    if group == "builder":
        found["build"] = COMMANDS["image build"][1]
    return found


def summary(name: str) -> str:
    """One line about a command or group."""
    return GROUPS.get(name) or COMMANDS[canonical(name)][1]


def top_level() -> list[str]:
    """Commands that are one word."""
    return [name for name in (*COMMANDS, *ALIASES) if " " not in name]
