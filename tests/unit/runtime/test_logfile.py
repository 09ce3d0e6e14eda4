"""The json-file log: what is written comes back, through rotation and compression."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from corten.runtime.logfile import LogFile
from corten.supervisor import logs
from corten.supervisor.logs import LogLine, parse_time


def entries(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_and_their_pieces(tmp_path: Path) -> None:
    log = LogFile(str(tmp_path / "log"), attrs={"k": "v"})
    log.write("stdout", b"one\ntw")
    log.write("stderr", b"err\n")
    log.write("stdout", b'o\n\nback\\slash "quoted" \xff\x00\n')
    log.write("stdout", b"x" * 20_000)
    log.write("stdout", b"y\nrest")
    log.close()
    written = entries(tmp_path / "log")
    assert [each["log"] for each in written] == [
        "one\n", "err\n", "two\n", "\n", 'back\\slash "quoted" \ufffd\x00\n', "x" * 16384, "x" * 3616 + "y\n", "rest",
    ]  # fmt: skip
    assert written[0]["attrs"] == {"k": "v"}
    assert {each["stream"] for each in written} == {"stdout", "stderr"}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=40), max_size=12), st.integers(1, 30))
def test_any_text_in_any_pieces_comes_back(tmp_path_factory: object, texts: list[str], size: int) -> None:
    path = tmp_path_factory.mktemp("log") / "log"  # type: ignore[attr-defined]
    data = "\n".join(texts).encode()
    log = LogFile(str(path))
    for at in range(0, len(data), size):
        log.write("stdout", data[at : at + size])
    log.close()

    async def read() -> bytes:
        return b"".join([line.data async for batch in logs.read(path) for line in batch])

    assert asyncio.run(read()) == data
    os.unlink(path)


def test_characters_are_not_parted_between_pieces(tmp_path: Path) -> None:
    log = LogFile(str(tmp_path / "log"))
    log.write("stdout", ("x" + "ä" * 20_000).encode())
    log.close()
    assert "".join(each["log"] for each in entries(tmp_path / "log")) == "x" + "ä" * 20_000


def test_rotation_and_compression(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = LogFile(str(path), max_size=1000, max_file=3, compress=True)
    for number in range(100):
        log.write("stdout", b"line %d\n" % number)
    log.close()
    assert sorted(os.listdir(tmp_path)) == ["log", "log.1.gz", "log.2.gz"]

    async def read(tail: int | None) -> list[bytes]:
        return [line.data async for batch in logs.read(path, tail=tail) for line in batch]

    kept = asyncio.run(read(None))
    assert kept == [b"line %d\n" % number for number in range(100 - len(kept), 100)]
    assert asyncio.run(read(20)) == kept[-20:]
    assert asyncio.run(read(0)) == []
    assert asyncio.run(read(1000)) == kept


def test_one_file_is_emptied(tmp_path: Path) -> None:
    log = LogFile(str(tmp_path / "log"), max_size=500, max_file=1)
    for number in range(50):
        log.write("stdout", b"line %d\n" % number)
    log.close()
    assert os.path.getsize(tmp_path / "log") <= 500
    assert entries(tmp_path / "log")[-1]["log"] == "line 49\n"


def test_tail_finds_the_end_from_the_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = LogFile(str(path))
    log.write("stdout", b"".join(b"line %d\n" % number for number in range(20_000)))
    log.close()
    with open(path, "rb") as stream:
        offset, found = logs.lines_from_end(stream, 3)
        assert found == 3
        stream.seek(offset)
        assert [json.loads(line)["log"] for line in stream] == ["line 19997\n", "line 19998\n", "line 19999\n"]


def test_times_and_foreign_lines() -> None:
    assert parse_time("1970-01-01T00:00:01.5Z") == 1_500_000_000
    assert parse_time("1970-01-01T00:00:01Z") == 1_000_000_000
    assert LogLine.parse(b"not json\n") is None
    assert LogLine.parse(
        b'{"log":"a\\u00e4\\n","stream":"stderr","time":"1970-01-01T00:00:00.000000002Z"}\n'
    ) == LogLine("stderr", 2, "aä\n".encode())


def test_following_through_rotation(tmp_path: Path) -> None:
    async def main() -> tuple[list[bytes], list[bytes]]:
        path, ended, seen = tmp_path / "log", False, []
        log = LogFile(str(path), max_size=2000, max_file=4)

        async def follow() -> None:
            seen.extend(
                [line.data async for batch in logs.read(path, follow=True, stopped=lambda: ended) for line in batch]
            )

        reader = asyncio.create_task(follow())
        sent = [b"line %d\n" % number for number in range(300)]
        for number, line in enumerate(sent):
            log.write("stdout", line)
            if number % 5 == 0:
                await asyncio.sleep(0)
                await asyncio.sleep(0.001)
        log.close()
        ended = True
        await reader
        return sent, seen

    sent, seen = asyncio.run(main())
    assert seen == sent
