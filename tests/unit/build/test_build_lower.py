"""Instructions to vertices: configurations, words for the history, scopes of ARG and ENV, the graph of stages."""

from __future__ import annotations

from typing import Any

import pytest

from corten.build import ports_exposed
from corten.build.args import Platforms, global_args, not_consumed
from corten.build.dockerfile.failures import DockerfileError
from corten.build.dockerfile.parser import parse
from corten.build.dockerfile.readers import read_program
from corten.build.graph import CopyOp, Graph, Origin, RunOp, Vertex, WorkdirOp, plan
from corten.build.lower import lower_stage
from corten.build.lower_copy import destination_path
from corten.build.modes import parse_mode
from corten.errors import CortenError, Invalid, NotFound

BASE = {"Env": ["PATH=/bin", "FROMBASE=b"], "Cmd": ["base"], "Entrypoint": ["enter"], "WorkingDir": "/base"}


def lower(lines: str, config: dict[str, Any] | None = None, **given: str) -> tuple[Vertex, ...]:
    program = read_program(parse(f"FROM x\n{lines}\n"))
    scope = global_args(program, given, Platforms(), "")
    return lower_stage(program.stages[0], BASE if config is None else config, scope, before=()).vertices


# lines, the words of the last one for the history, the changed part of the configuration
TABLE: list[tuple[str, str, dict[str, Any]]] = [
    ("ENV a=1 b=$FROMBASE", "ENV a=1 b=b", {"Env": ["PATH=/bin", "FROMBASE=b", "a=1", "b=b"]}),
    ("ENV a=1\nENV a=2 b=$a", "ENV a=2 b=1", {"Env": ["PATH=/bin", "FROMBASE=b", "a=2", "b=1"]}),
    ("ENV PATH=/x:$PATH", "ENV PATH=/x:/bin", {"Env": ["PATH=/x:/bin", "FROMBASE=b"]}),
    ('LABEL a="x y" b=$FROMBASE', "LABEL a=x y b=b", {"Labels": {"a": "x y", "b": "b"}}),
    ("CMD echo $x", 'CMD ["/bin/sh" "-c" "echo $x"]', {"Cmd": ["/bin/sh", "-c", "echo $x"]}),
    ('CMD ["a", "b"]', 'CMD ["a" "b"]', {"Cmd": ["a", "b"]}),
    ('SHELL ["bash", "-c"]\nCMD x', 'CMD ["bash" "-c" "x"]', {"Cmd": ["bash", "-c", "x"], "Shell": ["bash", "-c"]}),
    ('ENTRYPOINT ["e"]', 'ENTRYPOINT ["e"]', {"Entrypoint": ["e"], "Cmd": None}),
    ('CMD ["c"]\nENTRYPOINT ["e"]', 'ENTRYPOINT ["e"]', {"Entrypoint": ["e"], "Cmd": ["c"]}),
    ("EXPOSE 80 53/udp 8000-8001", "EXPOSE 53/udp 80 8000-8001",
     {"ExposedPorts": {"53/udp": {}, "80/tcp": {}, "8000/tcp": {}, "8001/tcp": {}}}),
    ("VOLUME /a /b", "VOLUME [/a /b]", {"Volumes": {"/a": {}, "/b": {}}}),
    ("USER $FROMBASE:g", "USER b:g", {"User": "b:g"}),
    ("WORKDIR sub/../dir", "WORKDIR /base/dir", {"WorkingDir": "/base/dir"}),
    ("WORKDIR /a\nWORKDIR b", "WORKDIR /a/b", {"WorkingDir": "/a/b"}),
    ("STOPSIGNAL SIGUSR1", "STOPSIGNAL SIGUSR1", {"StopSignal": "SIGUSR1"}),
    ("HEALTHCHECK --interval=2s CMD x", 'HEALTHCHECK ["CMD-SHELL" "x"]',
     {"Healthcheck": {"Test": ["CMD-SHELL", "x"], "Interval": 2_000_000_000}}),
    ("ONBUILD RUN x", "ONBUILD RUN x", {"OnBuild": ["RUN x"]}),
    ("MAINTAINER me", "MAINTAINER me", {}),
    ("ARG a b=2", "ARG a b=2", {}),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "comment", "changes"), TABLE)
def test_configurations(lines: str, comment: str, changes: dict[str, Any]) -> None:
    last = lower(lines)[-1]
    assert last.comment == comment
    expected = {key: value for key, value in {**BASE, **changes}.items() if value is not None}
    assert {key: value for key, value in last.config.items() if value is not None} == expected


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("EXPOSE x", "invalid containerPort: x"),
        ("EXPOSE 80/icmp", "invalid proto: icmp"),
        ("EXPOSE 99999", "invalid containerPort: 99999"),
        ("STOPSIGNAL SIGNOPE", "invalid signal: SIGNOPE"),
        ("WORKDIR $none", "cannot normalize nothing"),
        ("ENV a=${none:?said}", "none: said"),
        ("COPY --chmod=9 a b", "invalid chmod parameter: '9'. it should be octal string and between 0 and 07777"),
        ("COPY a b c", "the destination must be a directory and end with a /"),
        ("RUN []", "No command specified"),
        ("RUN --mount=type=tmpfs,target=/ x", 'invalid mount target "/"'),
        ("COPY --from=3 a b", "invalid from flag value 3: invalid stage index 3"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(lines: str, message: str) -> None:
    with pytest.raises(CortenError) as caught:
        lower(f"USER x\n{lines}")
    assert message in caught.value.message
    if isinstance(caught.value, DockerfileError):
        assert caught.value.location is not None
        assert caught.value.location.start == 3


def test_scopes() -> None:
    def run_env(lines: str, **given: str) -> dict[str, str]:
        op = lower(f"{lines}\nRUN x", {}, **given)[-1].op
        assert isinstance(op, RunOp)
        return dict(entry.split("=", 1) for entry in op.env if not entry.startswith("PATH="))

    assert run_env("ARG a=1") == {"a": "1"}
    assert run_env("ARG a=1", a="2") == {"a": "2"}
    assert run_env("ARG a") == {}
    assert run_env("", a="2") == {}
    assert run_env("ARG a=1\nENV a=3", a="2") == {"a": "3"}
    assert run_env("ARG a=1\nARG b=$a-x") == {"a": "1", "b": "1-x"}
    assert run_env("ARG TARGETARCH\nARG TARGETOS") == {"TARGETARCH": "amd64", "TARGETOS": "linux"}
    assert run_env("", https_proxy="p") == {"https_proxy": "p"}


def test_args_before_the_first_stage() -> None:
    program = read_program(parse("ARG a=1\nARG b=$a.2\nFROM x:${b}\nARG a\nARG b=3\nRUN $a\nFROM y\nRUN z\n"))
    scope = global_args(program, {}, Platforms(), "")
    graph = plan(program, scope, "", {})
    assert graph.stages[0].base == Origin(image="x:1.2")
    last = lower_stage(program.stages[0], {}, scope).vertices[-1].op
    assert isinstance(last, RunOp)
    assert last.shown_args == ("a=1", "b=3")
    assert not_consumed(["a", "c", "HTTP_PROXY", "SOURCE_DATE_EPOCH", "BUILDKIT_INLINE_CACHE"], program) == ["c"]


def test_a_stage_inherits_the_args_of_its_base() -> None:
    program = read_program(parse("FROM x AS a\nARG v=1\nFROM a\nRUN $v\n"))
    scope = global_args(program, {}, Platforms(), "")
    first = lower_stage(program.stages[0], {}, scope)
    second = lower_stage(program.stages[1], {}, scope, inherited=first.args)
    assert isinstance(second.vertices[0].op, RunOp)
    assert "v=1" in second.vertices[0].op.env


def graph_of(source: str, target: str = "", **named: str) -> Graph:
    program = read_program(parse(source))
    return plan(program, global_args(program, {}, Platforms(), target), target, named)


def test_the_graph() -> None:
    source = (
        "FROM x AS a\nFROM y AS b\nCOPY --from=a f /\nFROM scratch AS c\nRUN --mount=from=b,target=/b x\n"
        "FROM z AS unused\nFROM c\nCOPY --from=img f /\n"
    )
    graph = graph_of(source)
    assert graph.needed == (0, 1, 2, 4)
    assert graph_of(source, "b").needed == (0, 1)
    assert graph_of(source, "1").needed == (0, 1)
    assert graph.stages[2].is_scratch
    assert graph_of("FROM x AS a\nFROM a AS a\nFROM a\n").stages[2].base == Origin(stage=1)
    assert graph_of("FROM x\n", x="docker-image://y").stages[0].base == Origin(named="x")
    with pytest.raises(NotFound, match="failed to reach build target nope in Dockerfile"):
        graph_of(source, "nope")
    with pytest.raises(DockerfileError, match="should not be blank"):
        graph_of("ARG x\nFROM $x\n")


@pytest.mark.parametrize(
    ("cwd", "written", "path"),
    [
        ("/", "a", "/a"),
        ("/w", "a", "/w/a"),
        ("/w", "/a/", "/a/"),
        ("/w", ".", "/w/"),
        ("/w", "./", "/w/"),
        ("/w", "..", "/"),
        ("/w", "../x", "/x"),
        ("/", "/", "/"),
        ("/w", "", "/w/"),
    ],
)
def test_destinations(cwd: str, written: str, path: str) -> None:
    assert destination_path(cwd, written) == path


def test_operations() -> None:
    vertices = lower("WORKDIR d\nCOPY --from=img --link --exclude=x a b/\nADD https://h/x.git#v /g\n")
    assert vertices[0].op == WorkdirOp("/base/d")
    assert vertices[1].op == CopyOp(("a",), (), "/base/d/b/", Origin(image="img"), link=True, excludes=("x",))
    assert isinstance(vertices[2].op, CopyOp)
    assert vertices[2].op.is_add


@pytest.mark.parametrize(
    ("text", "mode", "is_directory", "expected"),
    [
        ("644", 0o777, False, 0o644),
        ("4755", 0, False, 0o4755),
        ("u+x", 0o644, False, 0o744),
        ("a=r", 0o777, False, 0o444),
        ("go-rwx", 0o777, False, 0o700),
        ("u=rwX,go=rX", 0o600, True, 0o755),
        ("u=rwX,go=rX", 0o600, False, 0o644),
        ("+x", 0o644, False, 0o755),
        ("g=u", 0o640, False, 0o660),
        ("u+s,+t", 0o755, False, 0o5755),
        ("o-w+r", 0o662, False, 0o664),
    ],
)
def test_modes(text: str, mode: int, is_directory: bool, expected: int) -> None:
    assert parse_mode(text)(mode, is_directory) == expected


@pytest.mark.parametrize("text", ["8", "77777", "u+", "rwx", "z+x", "", "u+x,"])
def test_bad_modes(text: str) -> None:
    if text == "u+":
        assert parse_mode(text)(0o644, False) == 0o644
        return
    with pytest.raises(Invalid):
        parse_mode(text)


def test_exposed_ports() -> None:
    assert ports_exposed.parse("127.0.0.1:8080:80/TCP") == ["80/tcp"]
    assert ports_exposed.parse("[::1]:8080:80") == ["80/tcp"]
    for text in ("", "/tcp", "1-", "2-1", "a:b:80", "1-2:80-82"):
        with pytest.raises(Invalid):
            ports_exposed.parse(text)
