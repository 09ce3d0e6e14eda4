"""Progress of builds: plain lines, the terminal's list, findings, parts."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from corten.cli.builds import display, findings, outputs, parts, query
from corten.errors import Invalid, NotFound


def play(show: display.Display) -> None:
    show.event(1, 0.0, "begin", {"name": "[1/2] FROM busybox"})
    show.event(1, 0.1, "bar", {"id": "layer", "status": "Downloading", "current": 1, "total": 2})
    show.event(2, 0.2, "begin", {"name": "[2/2] RUN false"})
    show.event(1, 0.3, "cached", {})
    show.event(1, 0.3, "done", {"error": ""})
    show.event(2, 0.5, "log", {"text": "one\ntw"})
    show.event(2, 0.6, "log", {"text": "o\nrest"})
    show.event(2, 0.7, "done", {"error": "exit code: 1"})


def test_plain() -> None:
    out = io.StringIO()
    show = display.Plain(out)
    play(show)
    assert out.getvalue().split("\n") == [
        "#1 [1/2] FROM busybox",
        "#1 layer Downloading",
        "#1 ...",
        "",
        "#2 [2/2] RUN false",
        "#2 ...",
        "",
        "#1 [1/2] FROM busybox",
        "#1 CACHED",
        "",
        "#2 [2/2] RUN false",
        "#2 0.300 one",
        "#2 0.400 two",
        "#2 0.500 rest",
        "#2 ERROR: exit code: 1",
        "",
        "",
    ]
    failed = show.failed()
    assert failed is not None and display.tail(failed)[1:3] == [" > [2/2] RUN false:", "0.300 one"]


def test_terminal() -> None:
    with display.Terminal(io.StringIO()) as show:
        assert isinstance(show, display.Terminal)
        show.event(1, 0.0, "begin", {"name": "[1/1] RUN a very long command " + "x" * 100})
        show.event(1, 0.0, "log", {"text": "line\n"})
        lines = show.screen(60, is_over=False)
        assert lines[0].startswith("[+] Building 0.0s (0/1)") and lines[2] == " => => # line"
        assert len(lines[1]) == 59 and "..." in lines[1]
        show.event(1, 1.5, "cached", {})
        show.event(1, 1.5, "done", {})
        assert show.screen(80, is_over=True)[0].endswith("(1/1) FINISHED")
        assert show.screen(80, is_over=True)[1].startswith(" => CACHED [1/1]")


def test_findings() -> None:
    found = {"rule": "R", "url": "u", "description": "d", "message": "m", "start": 2, "end": 2}
    body = {"file": "Dockerfile", "source": "FROM a\nCMD b\n", "findings": [found]}
    assert findings.report(body)[0] == "Check complete, 1 warning has been found!"
    assert "   2 | >>> CMD b" in findings.report(body)
    assert findings.summary(body)[-1] == " - R: m (line 2)"
    assert findings.report({**body, "findings": []}) == ["Check complete, no warnings found."]


def test_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"value\n")
    monkeypatch.setenv("TOKEN", "abc")
    assert parts.secrets([f"id=a,src={tmp_path}/file", "id=b,env=TOKEN", "id=TOKEN", "type=env,id=TOKEN"]) == {
        "a": b"value\n",
        "b": b"abc",
        "TOKEN": b"abc",
    }
    for word, error in (("id=x,src=/none/such", NotFound), ("x", Invalid), ("id=x,other=1", Invalid), ("", Invalid)):
        with pytest.raises(error):
            parts.secrets([word])


def test_contexts_and_multipart(tmp_path: Path) -> None:
    luggage = parts.Parts()
    parts.contexts([f"dir={tmp_path}", "base=docker-image://alpine", "repo=https://x/y.git"], luggage)
    assert luggage.queries["contexts"] == {
        "dir": "part:",
        "base": "docker-image://alpine",
        "repo": "https://x/y.git",
    }
    assert [name for name, _ in luggage.streams] == ["context/dir"]
    body = b"".join(parts.multipart([("secret/a", (b"v",))], "B"))
    assert body.startswith(b'--B\r\nContent-Disposition: form-data; name="secret/a"\r\n')
    assert body.endswith(b"\r\n\r\nv\r\n--B--\r\n")
    with pytest.raises(Invalid):
        list(parts.multipart([('a"b', ())], "B"))


def test_outputs() -> None:
    assert outputs.read(["out", "type=tar,dest=x.tar"], is_pushed=True, is_loaded=False) == [
        outputs.Output("local", "out", {}),
        outputs.Output("tar", "x.tar", {}),
        outputs.Output("registry", "", {}),
    ]
    for word in ("type=local", "type=weird", "dest=x", "type=image,push-by-digest=true"):
        with pytest.raises(Invalid):
            outputs.read([word], is_pushed=False, is_loaded=False)


def test_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    assert query.cache_from(["a:b", "type=local", "src=d"]) == (["a:b"], [{"type": "local", "src": "d"}])
    assert query.cache_to(["r/x:c", "type=inline"]) == [{"type": "registry", "ref": "r/x:c"}, {"type": "inline"}]
    for word in ("type=gha", "type=local"):
        with pytest.raises(Invalid):
            query.cache_to([word])
        with pytest.raises(Invalid):
            query.cache_from([word])
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "7")
    assert query.arguments(["A=1"]) == {"A": "1", "SOURCE_DATE_EPOCH": "7"}
