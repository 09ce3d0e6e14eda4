"""The daemon's answers have the shapes of the Engine API's OpenAPI file, where ../shared is beside the project."""

from __future__ import annotations

import http.client
import json
import re
import socket
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from rig.daemon import Daemon

SPECIFICATION = Path(__file__).parents[3] / "shared/specs/engine-api-v1.50.yaml"

# Docker's own answers differ from its file here: null for an empty list or map, and "" for absent values.
NULLABLE = {"array", "object", "string", "integer", "boolean"}


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def relaxed(schema: Any) -> Any:
    """A Swagger 2 schema as JSON schema: null is allowed where Go would print it, unknown formats are dropped."""
    if isinstance(schema, list):
        return [relaxed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {
        k: relaxed(v) for k, v in schema.items() if k not in ("example", "format", "x-nullable", "discriminator")
    }
    if isinstance(changed.get("type"), str) and changed["type"] in NULLABLE:
        changed["type"] = [changed["type"], "null"]
        if "enum" in changed:
            changed["enum"] = [*changed["enum"], None, ""]
    return changed


@pytest.fixture(scope="module")
def specification() -> dict[str, Any]:
    if not SPECIFICATION.exists():
        pytest.skip("../shared is not beside the project")
    loaded: dict[str, Any] = yaml.safe_load(SPECIFICATION.read_text())
    return loaded


def answer_schema(specification: dict[str, Any], method: str, template: str, status: int) -> dict[str, Any]:
    operation = specification["paths"][template][method.lower()]
    assert str(status) in {str(code) for code in operation["responses"]}, f"{status} is not documented"
    responses = {str(code): response for code, response in operation["responses"].items()}
    schema = relaxed(responses[str(status)].get("schema", {}))
    schema["definitions"] = relaxed(specification["definitions"])
    return dict(schema)


def request(daemon: Daemon, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    connection = UnixConnection(str(daemon.socket))
    data = json.dumps(body) if body is not None else None
    connection.request(method, "/v1.50" + path, data, {"Content-Type": "application/json"} if data else {})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text) if text.strip() else None


CALLS: list[tuple[str, str, str, Any]] = [
    ("GET", "/version", "", None),
    ("GET", "/info", "", None),
    ("GET", "/system/df", "", None),
    ("GET", "/containers/json", "?all=1&size=1", None),
    ("POST", "/containers/create", "?name=made", {"Image": "busybox", "Cmd": ["true"]}),
    ("GET", "/containers/{id}/json", "?size=1", None),
    ("GET", "/containers/{id}/top", "", None),
    ("GET", "/containers/{id}/changes", "", None),
    ("GET", "/containers/{id}/stats", "?stream=false&one-shot=true", None),
    ("POST", "/containers/{id}/update", "", {"Memory": 67108864, "MemorySwap": -1}),
    ("POST", "/containers/{id}/exec", "", {"Cmd": ["true"], "AttachStdout": True}),
    ("POST", "/containers/prune", "", None),
    ("GET", "/images/json", "?all=1&digests=1&shared-size=1", None),
    ("GET", "/images/{name}/json", "", None),
    ("GET", "/images/{name}/history", "", None),
    ("POST", "/images/prune", "", None),
    ("POST", "/build/prune", "", None),
    ("GET", "/networks", "", None),
    ("POST", "/networks/create", "", {"Name": "specified", "Driver": "bridge"}),
    ("GET", "/networks/{id}", "", None),
    ("POST", "/networks/prune", "", None),
    ("GET", "/volumes", "", None),
    ("POST", "/volumes/create", "", {"Name": "specified"}),
    ("GET", "/volumes/{name}", "", None),
    ("POST", "/volumes/prune", "", None),
    ("GET", "/containers/none-such/json", "", None),
    ("GET", "/images/none-such/json", "", None),
]


@pytest.mark.parametrize(("method", "template", "query", "body"), CALLS, ids=lambda value: str(value)[:40])
def test_answers(
    daemon: Daemon, specification: dict[str, Any], method: str, template: str, query: str, body: Any
) -> None:
    daemon.docker("run", "-d", "--name", "subject", "-v", "/data", "-p", "127.0.0.1:0:80", "busybox", "sleep", "100")
    names = {"/containers": "subject", "/images": "busybox", "/networks": "bridge", "/volumes": "specified"}
    target = next((value for prefix, value in names.items() if template.startswith(prefix)), "")
    if template == "/volumes/{name}":
        daemon.docker("volume", "create", "specified")
    path = re.sub(r"\{\w+\}", target, template)
    try:
        status, answer = request(daemon, method, path + query, body)
        documented = re.sub(r"none-such", "{id}" if "containers" in template else "{name}", template)
        jsonschema.validate(answer, answer_schema(specification, method, documented, status))
        assert status < 400 or "none-such" in template, answer
    finally:
        daemon.docker("network", "rm", "specified", check=False)
        daemon.docker("rm", "-f", "subject", "made", check=False)
        daemon.docker("volume", "rm", "specified", check=False)
