"""The daemon's answers have the shapes of the Engine API's OpenAPI file, where ../shared is beside the project."""

from __future__ import annotations

import http.client
import json
import re
import socket
import urllib.parse
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from rig.daemon import Daemon
from rig.registry import Registry

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
    described = changed.get("properties")
    if isinstance(changed.get("required"), list) and isinstance(described, dict):
        # The file requires "UnpackedSize" of an image's data, which it does not describe and Docker does not send.
        changed["required"] = [name for name in changed["required"] if name in described]
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


# Image group: (method, path, query, status); "{image}" is a name of our own, "{remote}" one at a registry.
IMAGES: list[tuple[str, str, dict[str, str], int]] = [
    (
        "GET",
        "/images/json",
        {"all": "1", "manifests": "1", "filters": '{"reference":["speci*"],"dangling":["false"]}'},
        200,
    ),
    (
        "GET",
        "/images/json",
        {"filters": '{"before":["busybox"],"since":["busybox"],"label":["x"],"until":["1h"]}'},
        200,
    ),
    ("GET", "/images/json", {"filters": '{"nonsense":["x"]}'}, 400),
    ("GET", "/images/{image}/json", {"manifests": "1"}, 200),
    ("GET", "/images/{image}/json", {"platform": '{"os":"linux","architecture":"s390x"}'}, 404),
    ("GET", "/images/{image}/history", {}, 200),
    ("GET", "/images/none-such/history", {}, 404),
    ("POST", "/images/{image}/tag", {"repo": "{remote}", "tag": "one"}, 201),
    ("POST", "/images/{image}/tag", {"repo": "UPPER", "tag": "one"}, 400),
    ("POST", "/images/none-such/tag", {"repo": "x"}, 404),
    ("POST", "/images/{remote}/push", {"tag": "one"}, 200),
    ("POST", "/images/none-such/push", {"tag": "x"}, 200),
    ("POST", "/images/create", {"fromImage": "{remote}", "tag": "one"}, 200),
    ("POST", "/images/create", {"fromImage": "{remote}", "tag": "absent"}, 404),
    ("GET", "/distribution/{remote}:one/json", {}, 200),
    ("GET", "/images/{image}/get", {}, 200),
    ("GET", "/images/get", {"names": "{image}"}, 200),
    ("POST", "/images/load", {}, 200),
    ("POST", "/images/prune", {"filters": '{"dangling":["true"],"until":["1h"]}'}, 200),
    ("POST", "/images/prune", {"filters": '{"nonsense":["x"]}'}, 400),
    ("POST", "/build/prune", {"all": "1", "filters": '{"until":["1h"]}'}, 200),
    ("POST", "/build/cancel", {}, 400),
    ("DELETE", "/images/{remote}:one", {"noprune": "1"}, 200),
    ("DELETE", "/images/{image}", {}, 200),
    ("DELETE", "/images/none-such", {}, 404),
]


def test_the_image_group(daemon: Daemon, registry: Registry, specification: dict[str, Any]) -> None:
    """In this order: each status as documented, each JSON answer of the documented shape."""
    daemon.docker("tag", "busybox", "specified")
    daemon.docker("create", "--name", "holder", "busybox")
    values = {"image": "specified", "remote": f"{registry.address}/group/specified"}
    known = [
        (template, re.compile(re.sub(r"\\{\w+\\}", ".+", re.escape(template)) + r"\Z"))
        for template in specification["paths"]
    ]
    try:
        for method, path, fields, status in IMAGES:
            filled = path.format(**values)
            query = urllib.parse.urlencode(
                {name: values.get(value.strip("{}"), value) for name, value in fields.items()}
            )
            answer = request_bytes(daemon, method, f"{filled}?{query}")
            assert answer[0] == status, (method, path, answer)
            if status >= 400:
                assert isinstance(json.loads(answer[2])["message"], str)
                continue
            template = next((name for name, pattern in known if name == path), "") or next(
                name
                for name, pattern in known
                if pattern.match(filled) and method.lower() in specification["paths"][name]
            )
            if answer[1] == "application/json" and b"\r\n{" not in answer[2] and answer[2].strip():
                schema = answer_schema(specification, method, template, status)
                if schema.keys() - {"definitions"}:
                    jsonschema.validate(json.loads(answer[2]), schema)
    finally:
        daemon.docker("rm", "holder")
        daemon.docker("rmi", "-f", "specified", check=False)


def request_bytes(daemon: Daemon, method: str, path: str) -> tuple[int, str, bytes]:
    connection = UnixConnection(str(daemon.socket))
    connection.request(method, "/v1.50" + path, None, {"X-Registry-Auth": "e30="})
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, answer.getheader("Content-Type", "").partition(";")[0], data


# Container and Exec groups, whole: (method, path, query, body, what the subject does, status).  "{exec}" is an exec.
RUNNING, STOPPED, PAUSED, NONE, FROZEN_NAME = "running", "stopped", "paused", "none", "taken"
GROUPS: list[tuple[str, str, str, Any, str, int]] = [
    ("GET", "/containers/json", "?all=1&size=1&limit=5", None, RUNNING, 200),
    ("GET", "/containers/json", "?filters=%7B%22nonsense%22%3A%5B%22x%22%5D%7D", None, RUNNING, 400),
    ("POST", "/containers/create", "?name=made", {"Image": "busybox", "Cmd": ["true"]}, NONE, 201),
    ("POST", "/containers/create", "?name=subject", {"Image": "busybox", "Cmd": ["true"]}, STOPPED, 409),
    ("POST", "/containers/create", "", {"Image": "no-such-image"}, NONE, 404),
    ("POST", "/containers/create", "", {"Image": "busybox", "Cmd": ["x"], "HostConfig": {"ShmSize": -1}}, NONE, 400),
    ("GET", "/containers/{id}/json", "?size=1", None, RUNNING, 200),
    ("GET", "/containers/{id}/json", "", None, STOPPED, 200),
    ("GET", "/containers/{id}/json", "", None, PAUSED, 200),
    ("GET", "/containers/{id}/json", "", None, NONE, 404),
    ("GET", "/containers/{id}/top", "?ps_args=aux", None, RUNNING, 200),
    ("GET", "/containers/{id}/top", "", None, NONE, 404),
    ("GET", "/containers/{id}/logs", "?stdout=1&tail=5&timestamps=1", None, RUNNING, 200),
    ("GET", "/containers/{id}/logs", "?stdout=1", None, NONE, 404),
    ("GET", "/containers/{id}/changes", "", None, RUNNING, 200),
    ("GET", "/containers/{id}/changes", "", None, NONE, 404),
    ("GET", "/containers/{id}/export", "", None, STOPPED, 200),
    ("GET", "/containers/{id}/export", "", None, NONE, 404),
    ("GET", "/containers/{id}/stats", "?stream=false&one-shot=true", None, RUNNING, 200),
    ("GET", "/containers/{id}/stats", "?stream=false", None, STOPPED, 200),
    ("GET", "/containers/{id}/stats", "?stream=false", None, NONE, 404),
    ("POST", "/containers/{id}/resize", "?h=30&w=90", None, RUNNING, 200),
    ("POST", "/containers/{id}/resize", "?h=30&w=90", None, NONE, 404),
    ("POST", "/containers/{id}/start", "", None, STOPPED, 204),
    ("POST", "/containers/{id}/start", "", None, RUNNING, 304),
    ("POST", "/containers/{id}/start", "", None, NONE, 404),
    ("POST", "/containers/{id}/stop", "?t=0", None, RUNNING, 204),
    ("POST", "/containers/{id}/stop", "", None, STOPPED, 304),
    ("POST", "/containers/{id}/stop", "", None, NONE, 404),
    ("POST", "/containers/{id}/restart", "?t=0", None, RUNNING, 204),
    ("POST", "/containers/{id}/restart", "", None, NONE, 404),
    ("POST", "/containers/{id}/kill", "?signal=KILL", None, RUNNING, 204),
    ("POST", "/containers/{id}/kill", "", None, STOPPED, 409),
    ("POST", "/containers/{id}/kill", "", None, NONE, 404),
    ("POST", "/containers/{id}/update", "", {"CpuShares": 100}, RUNNING, 200),
    ("POST", "/containers/{id}/update", "", {"CpuShares": 100}, NONE, 404),
    ("POST", "/containers/{id}/rename", "?name=made", None, RUNNING, 204),
    ("POST", "/containers/{id}/rename", "?name=subject", None, FROZEN_NAME, 409),
    ("POST", "/containers/{id}/rename", "?name=other", None, NONE, 404),
    ("POST", "/containers/{id}/pause", "", None, RUNNING, 204),
    ("POST", "/containers/{id}/pause", "", None, NONE, 404),
    ("POST", "/containers/{id}/unpause", "", None, PAUSED, 204),
    ("POST", "/containers/{id}/unpause", "", None, NONE, 404),
    ("POST", "/containers/{id}/attach", "?logs=1&stdout=1", None, RUNNING, 200),
    ("POST", "/containers/{id}/attach", "?stream=1", None, NONE, 404),
    ("GET", "/containers/{id}/attach/ws", "", None, NONE, 404),
    ("POST", "/containers/{id}/wait", "", None, STOPPED, 200),
    ("POST", "/containers/{id}/wait", "?condition=when-it-rains", None, RUNNING, 400),
    ("POST", "/containers/{id}/wait", "", None, NONE, 404),
    ("DELETE", "/containers/{id}", "?force=1&v=1", None, RUNNING, 204),
    ("DELETE", "/containers/{id}", "", None, RUNNING, 409),
    ("DELETE", "/containers/{id}", "", None, NONE, 404),
    ("HEAD", "/containers/{id}/archive", "?path=/etc", None, RUNNING, 200),
    ("HEAD", "/containers/{id}/archive", "?path=/none", None, RUNNING, 404),
    ("GET", "/containers/{id}/archive", "?path=/etc/hosts", None, RUNNING, 200),
    ("GET", "/containers/{id}/archive", "?path=/none", None, RUNNING, 404),
    ("GET", "/containers/{id}/archive", "", None, RUNNING, 400),
    ("PUT", "/containers/{id}/archive", "?path=/tmp", b"", RUNNING, 200),
    ("PUT", "/containers/{id}/archive", "?path=/none", b"", RUNNING, 404),
    ("PUT", "/containers/{id}/archive", "?path=/tmp", b"no tar" * 200, RUNNING, 400),
    ("POST", "/containers/prune", "?filters=%7B%22label%22%3A%5B%22x%22%5D%7D", None, STOPPED, 200),
    ("POST", "/containers/{id}/exec", "", {"Cmd": ["true"], "AttachStdout": True}, RUNNING, 201),
    ("POST", "/containers/{id}/exec", "", {"Cmd": ["true"]}, PAUSED, 409),
    ("POST", "/containers/{id}/exec", "", {"Cmd": ["true"]}, NONE, 404),
    ("POST", "/exec/{exec}/start", "", {"Detach": True}, RUNNING, 200),
    ("POST", "/exec/none/start", "", {"Detach": True}, RUNNING, 404),
    ("POST", "/exec/{exec}/resize", "?h=10&w=20", None, RUNNING, 200),
    ("POST", "/exec/none/resize", "?h=10&w=20", None, RUNNING, 404),
    ("GET", "/exec/{exec}/json", "", None, RUNNING, 200),
    ("GET", "/exec/none/json", "", None, RUNNING, 404),
]  # fmt: skip


def documented(template: str) -> str:
    return re.sub(r"/exec/[^/]+/", "/exec/{id}/", template)


@pytest.mark.parametrize(
    ("method", "template", "query", "body", "doing", "expected"), GROUPS, ids=lambda value: str(value)[:30]
)
def test_containers_and_execs(
    daemon: Daemon, specification: dict[str, Any], method: str, template: str, query: str, body: Any, doing: str,
    expected: int,
) -> None:  # fmt: skip
    subject = "made" if doing == FROZEN_NAME else "subject"
    if doing != NONE:
        daemon.docker("run", "-dt", "--name", "subject", "busybox", "sleep", "100")
    if doing == STOPPED:
        daemon.docker("kill", "subject")
    elif doing == PAUSED:
        daemon.docker("pause", "subject")
    elif doing == FROZEN_NAME:
        daemon.docker("run", "-d", "--name", "made", "busybox", "sleep", "100")
    path = template.replace("{id}", subject)
    if "{exec}" in path:
        made = request(daemon, "POST", "/containers/subject/exec", {"Cmd": ["sleep", "9"], "Tty": True})[1]["Id"]
        if path.endswith("resize"):
            request(daemon, "POST", f"/exec/{made}/start", {"Detach": True, "Tty": True})
        path = path.replace("{exec}", made)
    status, answer = raw(daemon, method, path + query, body)
    assert status == expected, answer
    if template == "/containers/{id}/attach" and status == 200:
        return  # a stream
    schema = answer_schema(specification, method, documented(template), status)
    if answer and (status >= 400 or len(schema) > 1) and method != "HEAD":
        if schema.get("type") == ["string", "null"] or "logs" in template or "export" in template:
            return  # streams of bytes
        if "archive" in template and status == 200:
            return
        jsonschema.validate(json.loads(answer), schema)


def raw(daemon: Daemon, method: str, path: str, body: Any) -> tuple[int, bytes]:
    connection = UnixConnection(str(daemon.socket))
    data = body if isinstance(body, bytes) or body is None else json.dumps(body)
    kind = "application/x-tar" if isinstance(body, bytes) else "application/json"
    connection.request(method, "/v1.50" + path, data, {"Content-Type": kind} if data is not None else {})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, text


def test_every_route_of_the_two_groups_is_called(specification: dict[str, Any]) -> None:
    called = {(method, documented(template)) for method, template, *_ in GROUPS}
    listed = {
        (method.upper(), path)
        for path, operations in specification["paths"].items()
        for method, operation in operations.items()
        if set(operation.get("tags", ())) & {"Container", "Exec"}
    }
    assert called == listed
