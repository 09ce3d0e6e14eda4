"""What commands print: columns, sizes, ages, ports, progress."""

from __future__ import annotations

import io
from typing import Any

import pytest

from corten.cli import terminal
from corten.cli.output import ages, listing, ports, progress, sizes, tabular
from corten.errors import Invalid


def test_sizes() -> None:
    assert [sizes.human(size) for size in (0, 999, 1000, 1_984_000, 123_456_789)] == [
        "0B",
        "999B",
        "1kB",
        "1.98MB",
        "123MB",
    ]
    assert sizes.human(1_986_000, 4) == "1.986MB" and sizes.binary(25_275_000_000) == "23.54GiB"


def test_moments() -> None:
    assert ages.parse("2026-11-24T23:39:07.5Z") == ages.parse("2026-11-25T00:39:07.500000000+01:00") == 1795563547.5
    assert ages.parse("0001-01-01T00:00:00Z") == 0.0


def test_columns() -> None:
    assert tabular.align(["A\tBB\tC", "longer than ten\t\tx"]) == [
        "A                 BB        C",
        "longer than ten             x",
    ]


ROWS: list[dict[str, Any]] = [
    {"ID": "1", "Name": "a", "Label": lambda name: f"<{name}>"},
    {"ID": "22", "Name": "b<", "Label": str},
]


def shown(capsys: pytest.CaptureFixture[str], form: str = "", quiet: str = "") -> str:
    listing.show(ROWS, {"ID": "ID", "Name": "NAME"}, ("ID", "Name"), form, quiet=quiet)
    return capsys.readouterr().out


def test_listing(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys) == "ID        NAME\n1         a\n22        b<\n"
    assert shown(capsys, quiet="ID") == "1\n22\n"
    assert shown(capsys, "json") == '{"ID":"1","Name":"a"}\n{"ID":"22","Name":"b\\u003c"}\n'
    assert shown(capsys, "{{.Name}}:{{.ID}}") == "a:1\nb<:22\n"
    assert (
        shown(capsys, r'table {{.Name}}\t{{.Label "com.x-y"}}')
        == "NAME      x y\na         <com.x-y>\nb<        com.x-y\n"
    )
    with pytest.raises(Invalid, match="can't evaluate field Nope"):
        shown(capsys, "{{.Nope}}")
    with pytest.raises(Invalid, match="template parsing error"):
        shown(capsys, "{{")


def port(private: int, public: int = 0, address: str = "", kind: str = "tcp") -> dict[str, Any]:
    return {"PrivatePort": private, "PublicPort": public, "IP": address, "Type": kind}


def test_ports() -> None:
    assert ports.summary([port(80)]) == "80/tcp"
    assert ports.summary([port(80, 8080, "0.0.0.0"), port(80, 8080, "::")]) == "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"
    assert (
        ports.summary([port(n, n, "0.0.0.0") for n in (92, 90, 91, 95)])
        == "0.0.0.0:90-92->90-92/tcp, 0.0.0.0:95->95/tcp"
    )
    assert ports.summary([port(9, kind="udp"), port(8, kind="udp")]) == "8-9/udp"


PULL: list[dict[str, Any]] = [
    {"status": "Pulling from library/x", "id": "latest"},
    {"status": "Pulling fs layer", "progressDetail": {}, "id": "aaa"},
    {"status": "Downloading", "progressDetail": {"current": 5, "total": 10}, "id": "aaa"},
    {"status": "Pull complete", "progressDetail": {}, "id": "aaa"},
    {"stream": "Step 1/1 : FROM x\n"},
    {"aux": {"ID": "sha256:1"}},
]


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_on_a_pipe() -> None:
    out = io.StringIO()
    ids: list[Any] = []
    progress.follow(PULL, out, ids.append)
    assert out.getvalue() == (
        "latest: Pulling from library/x\naaa: Pulling fs layer\naaa: Pull complete\nStep 1/1 : FROM x\n"
    )
    assert ids == [{"aux": {"ID": "sha256:1"}}]


def test_progress_on_a_terminal_redraws_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    out = Tty()
    progress.follow(PULL, out)
    text = out.getvalue()
    assert text.count("\n\x1b[1A\x1b[2K\raaa: Pulling fs layer") == 1
    assert f"\x1b[1A\x1b[2K\raaa: Downloading [{'=' * 25}>{' ' * 25}]       5B/10B" in text


def test_progress_that_fails() -> None:
    with pytest.raises(progress.StepFailed, match="broken") as failed:
        progress.follow([{"errorDetail": {"message": "broken", "code": 7}, "error": "broken"}], None)
    assert failed.value.code == 7


def test_detach_keys() -> None:
    keys = terminal.parse_keys("ctrl-p,ctrl-q")
    assert keys == b"\x10\x11" and terminal.parse_keys("a,ctrl-@,DEL") == b"a\x00\x7f"
    watch = terminal.KeyWatch(keys)
    assert watch.scan(b"ab\x10") == (b"ab", False)
    assert watch.scan(b"c") == (b"\x10c", False)
    assert watch.scan(b"\x10\x10\x11x") == (b"\x10", True)
    with pytest.raises(Invalid):
        terminal.parse_keys("ctrl-?!")
