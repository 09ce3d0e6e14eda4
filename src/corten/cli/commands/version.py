"""``corten version``: which client and which daemon."""

from __future__ import annotations

import platform
import sys
import time
from typing import Any

from corten import __version__
from corten.cli.command import Call, Command, Exit
from corten.cli.output import ages, values
from corten.client.session import API_VERSION
from corten.errors import CortenError

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}


def run(call: Call) -> None:
    """Show the client, then the daemon if it answers."""
    problem: CortenError | None = None
    server: dict[str, Any] | None = None
    spoken = API_VERSION
    try:
        server = call.session.get("/version")
        spoken = call.session.server().version
    except CortenError as error:
        problem = error
    client = {
        "Version": __version__,
        "ApiVersion": spoken,
        "DefaultAPIVersion": API_VERSION,
        "PythonVersion": platform.python_version(),
        "Os": sys.platform,
        "Arch": _MACHINES.get(platform.machine(), platform.machine().lower()),
        "Context": call.connection.context(),
    }
    form = call.options.text("format")
    if form:
        print(values.renderer(form)({"Client": client, "Server": server}))
    else:
        print("\n".join(_client_lines(client) + (_server_lines(server) if server else [])))
    if problem is not None:
        sys.stdout.flush()
        raise Exit(1, str(problem))


def _client_lines(client: dict[str, Any]) -> list[str]:
    api = client["ApiVersion"]
    if api != client["DefaultAPIVersion"]:
        api += f" (downgraded from {client['DefaultAPIVersion']})"
    fields = {
        "Version": client["Version"],
        "API version": api,
        "Python version": client["PythonVersion"],
        "OS/Arch": f"{client['Os']}/{client['Arch']}",
        "Context": client["Context"],
    }
    return ["Client:", *(f" {name + ':':<18} {text}" for name, text in fields.items())]


def _server_lines(server: dict[str, Any]) -> list[str]:
    name = (server.get("Platform") or {}).get("Name") or ""
    lines = ["", f"Server: {name}".rstrip() if name else "Server:"]
    for component in server.get("Components") or [_engine(server)]:
        lines.append(f" {component['Name']}:")
        details = component.get("Details") or {}
        api = f"{details.get('ApiVersion', '')} (minimum version {details.get('MinAPIVersion', '')})"
        fields = {
            "Version": component["Version"],
            "API version": api if details.get("ApiVersion") else "",
            "Go version": details.get("GoVersion", ""),
            "Python version": details.get("PythonVersion", ""),
            "Git commit": details.get("GitCommit", ""),
            "Built": _built(str(details.get("BuildTime") or "")),
            "OS/Arch": f"{details['Os']}/{details['Arch']}" if details.get("Os") else "",
            "Experimental": details.get("Experimental", ""),
        }
        lines += [f"  {title + ':':<17} {text}" for title, text in fields.items() if text]
    return lines


def _built(text: str) -> str:
    """A moment as ``date`` prints it; what is no moment stays."""
    moment = ages.parse(text)
    return time.strftime("%a %b %e %H:%M:%S %Y", time.localtime(moment)) if moment else text


def _engine(server: dict[str, Any]) -> dict[str, Any]:
    """Daemons that tell no components tell the same at the top."""
    return {"Name": "Engine", "Version": server.get("Version", ""), "Details": server}


COMMAND = Command(
    run,
    "[OPTIONS]",
    """
    -f, --format=string      Format output: 'json' or a Go template
    """,
    most=0,
)
