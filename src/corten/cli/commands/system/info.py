"""``corten info``: the daemon, its host and its settings."""

from __future__ import annotations

import sys
from typing import Any

from corten import __version__
from corten.cli.command import Call, Command, Exit
from corten.cli.output import sizes, values
from corten.errors import CortenError


def run(call: Call) -> None:
    """Show the client's side, then the daemon's if it answers."""
    problem: CortenError | None = None
    info: dict[str, Any] = {}
    try:
        info = call.session.get("/info")
    except CortenError as error:
        problem = error
    client = {"Version": __version__, "Context": call.connection.context(), "Debug": False}
    form = call.options.text("format")
    if form:
        print(values.renderer(form)({**info, "ClientInfo": client}))
    else:
        lines = [
            "Client:",
            f" Version:    {__version__}",
            f" Context:    {client['Context']}",
            " Debug Mode: false",
            "",
        ]
        lines += ["Server:", *(server_lines(info) if info else [])]
        print("\n".join(lines))
    sys.stdout.flush()
    if problem is not None:
        raise Exit(1, str(problem))
    for warning in info.get("Warnings") or ():
        print(warning, file=sys.stderr)


def server_lines(info: dict[str, Any]) -> list[str]:
    """What docker info shows of a daemon, line by line."""
    return [
        f" Containers: {info.get('Containers', 0)}",
        f"  Running: {info.get('ContainersRunning', 0)}",
        f"  Paused: {info.get('ContainersPaused', 0)}",
        f"  Stopped: {info.get('ContainersStopped', 0)}",
        f" Images: {info.get('Images', 0)}",
        *_present(info, {"ServerVersion": "Server Version", "Driver": "Storage Driver"}),
        *(f"  {name}: {value}" for name, value in info.get("DriverStatus") or ()),
        *_present(info, {"LoggingDriver": "Logging Driver", "CgroupDriver": "Cgroup Driver"}),
        *_present(info, {"CgroupVersion": "Cgroup Version"}),
        *_plugins(info.get("Plugins") or {}),
        f" Swarm: {(info.get('Swarm') or {}).get('LocalNodeState') or 'inactive'}",
        f" Runtimes: {' '.join(info.get('Runtimes') or ())}",
        *_present(info, {"DefaultRuntime": "Default Runtime", "InitBinary": "Init Binary"}),
        *_commits(info),
        *_security(info.get("SecurityOptions") or ()),
        *_present(
            info,
            {
                "KernelVersion": "Kernel Version",
                "OperatingSystem": "Operating System",
                "OSType": "OSType",
                "Architecture": "Architecture",
                "NCPU": "CPUs",
            },
        ),
        f" Total Memory: {sizes.binary(info.get('MemTotal') or 0)}",
        *_present(info, {"Name": "Name", "ID": "ID", "DockerRootDir": "Docker Root Dir"}),
        f" Debug Mode: {_word(info.get('Debug'))}",
        *_present(info, {"HttpProxy": "HTTP Proxy", "HttpsProxy": "HTTPS Proxy", "NoProxy": "No Proxy"}),
        *_block(" Labels:", info.get("Labels") or ()),
        f" Experimental: {_word(info.get('ExperimentalBuild'))}",
        *_registries(info.get("RegistryConfig") or {}),
        f" Live Restore Enabled: {_word(info.get('LiveRestoreEnabled'))}",
        "",
    ]


def _word(value: object) -> str:
    return "true" if value else "false"


def _present(info: dict[str, Any], titles: dict[str, str]) -> list[str]:
    return [f" {title}: {info[name]}" for name, title in titles.items() if info.get(name)]


def _block(title: str, values: Any) -> list[str]:
    return [title, *(f"  {value}" for value in values)] if values else []


def _plugins(plugins: dict[str, Any]) -> list[str]:
    kinds = ("Volume", "Network", "Authorization", "Log")
    found = [f"  {kind}: {' '.join(plugins[kind])}" for kind in kinds if plugins.get(kind)]
    return [" Plugins:", *found] if found else []


def _commits(info: dict[str, Any]) -> list[str]:
    titles = {"ContainerdCommit": "containerd", "RuncCommit": "runc", "InitCommit": "init"}
    return [f" {title} version: {info[name].get('ID', '')}" for name, title in titles.items() if info.get(name)]


def _security(options: Any) -> list[str]:
    lines: list[str] = []
    for text in options:
        fields = [part.partition("=") for part in str(text).split(",")]
        name = next((value for key, _, value in fields if key == "name"), "")
        lines.append(f"  {name or text}")
        lines += [f"   {key.capitalize()}: {value}" for key, _, value in fields if key != "name" and value]
    return [" Security Options:", *lines] if lines else []


def _registries(config: dict[str, Any]) -> list[str]:
    insecure = [name for name, index in (config.get("IndexConfigs") or {}).items() if not index.get("Secure", True)]
    insecure += config.get("InsecureRegistryCIDRs") or []
    return _block(" Insecure Registries:", insecure) + _block(" Registry Mirrors:", config.get("Mirrors") or ())


COMMAND = Command(
    run,
    "[OPTIONS]",
    """
    -f, --format=string      Format output: 'json' or a Go template
    """,
    most=0,
)
