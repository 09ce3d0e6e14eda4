"""Text to nodes: golden files, lines, heredocs, directives, errors; and that nothing makes the parser crash."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.build.dockerfile import heredoc
from corten.build.dockerfile.failures import DockerfileError, Location
from corten.build.dockerfile.instructions import Copy, Env, Healthcheck, Run
from corten.build.dockerfile.parser import parse
from corten.build.dockerfile.readers import read, read_program
from corten.build.dockerfile.words import expand

GOLDEN = Path(__file__).parents[2] / "golden" / "dockerfile"


@pytest.mark.parametrize("case", sorted(path.name for path in GOLDEN.iterdir()))
def test_golden(case: str) -> None:
    directory = GOLDEN / case
    assert parse((directory / "Dockerfile").read_bytes()).dump() == (directory / "ast").read_text()


def error(source: str | bytes) -> DockerfileError:
    with pytest.raises(DockerfileError) as caught:
        read_program(parse(source))
    return caught.value


def test_lines_are_kept() -> None:
    source = "# c\n\nFROM a\nRUN one \\\n  # inside\n\n  two\nCOPY <<E /x\nbody\nE\nUSER u\n"
    nodes = parse(source).nodes
    assert [(node.location.start, node.location.end) for node in nodes] == [(3, 3), (4, 7), (8, 10), (11, 11)]
    assert nodes[1].original == "RUN one   two"
    assert parse(source).warnings[0].message == "Empty continuation line found in: RUN one   two"
    assert nodes[0].comments == ("c",)


def test_directives() -> None:
    dockerfile = parse("# syntax=docker/dockerfile:1\n# Escape = `\n# check=skip=all\n\nFROM a\nRUN b `\nc\n")
    assert dockerfile.escape == "`"
    assert {name: each.value for name, each in dockerfile.directives.items()} == {
        "syntax": "docker/dockerfile:1",
        "escape": "`",
        "check": "skip=all",
    }
    assert dockerfile.nodes[1].original == "RUN b c"
    assert parse("# just a comment\n# escape=`\nFROM a\n").escape == "\\"
    assert error("# escape=x\nFROM a\n").message == "invalid escape token 'x' does not match ` or \\"
    assert error("# escape=`\n# escape=`\nFROM a\n").message == "only one escape parser directive can be used"


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("<<EOF", ("EOF", True, False, 0)),
        ("<<-EOF", ("EOF", True, True, 0)),
        ("<<'EOF'", ("EOF", False, False, 0)),
        ('<<-"E F"', ("E F", False, True, 0)),
        ("<<E'O'F", ("EOF", False, False, 0)),
        (r"<<eo\'f", ("eo'f", True, False, 0)),
        ("3<<EOF", ("EOF", True, False, 3)),
        ("<<$EOF", ("$EOF", True, False, 0)),
        ("<<<EOF", None),
        ("<<", None),
        ("a<<EOF", None),
    ],
)
def test_heredoc_words(word: str, expected: tuple[str, bool, bool, int] | None) -> None:
    found = heredoc.parse(word)
    assert (found and (found.name, found.expand, found.chomp, found.descriptor)) == expected


def test_heredoc_bodies() -> None:
    source = "FROM a\nCOPY <<A <<-B /d\nB\nA\n\tx\n\tB\nRUN '<<NO'\nRUN <<E sh\n# no comment\n\\\nE\nUSER <<X\n"
    nodes = parse(source).nodes
    assert [body.content for body in nodes[1].heredocs] == ["B\n", "\tx\n"]
    assert nodes[1].heredocs[1].text() == "x\n"
    assert nodes[2].heredocs == ()
    assert nodes[3].heredocs[0].content == "# no comment\n\\\n"
    assert nodes[4].heredocs == ()
    assert error("FROM a\nRUN <<E\nx\n").message == "unterminated heredoc"
    onbuild = parse("FROM a\nONBUILD RUN <<E\nx\nE\n").nodes[1]
    assert read(onbuild).expression == "RUN <<E\nx\nE"  # type: ignore[attr-defined]


def test_copy_heredocs_are_files() -> None:
    program = read_program(parse("FROM a\nCOPY x <<E.txt /d/\nbody\nE.txt\n"))
    copy = program.stages[0].instructions[0]
    assert isinstance(copy, Copy)
    assert copy.sources == ("x",)
    assert [(each.name, each.content) for each in copy.inline] == [("E.txt", "body\n")]


def test_flags_and_values() -> None:
    source = (
        "FROM a\nRUN --mount=type=cache,target=/c --network=none --security=insecure x\n"
        'HEALTHCHECK --interval=1m30s --timeout=5s --retries=3 --start-period=1s --start-interval=2s CMD ["a"]\n'
        "COPY --chown=1:2 --chmod=644 --link --parents=false --exclude=a --exclude=b --from=z a /b\n"
    )
    run, health, copy = read_program(parse(source)).stages[0].instructions
    assert isinstance(run, Run)
    assert (run.network, run.security, run.mounts) == ("none", "insecure", ("type=cache,target=/c",))
    assert isinstance(health, Healthcheck)
    assert (health.test, health.interval, health.retries) == (("CMD", "a"), 90_000_000_000, 3)
    assert isinstance(copy, Copy)
    assert (copy.link, copy.parents, copy.excludes, copy.origin) == (True, False, ("a", "b"), "z")


ERRORS = [
    ("", "file with no instructions"),
    ("# only\n", "file with no instructions"),
    ("RUN x\n", "no build stage in current context"),
    ("FROM a\nFOOBAR x\n", "dockerfile parse error on line 2: unknown instruction: FOOBAR"),
    ("FROM a\nrum x\n", "dockerfile parse error on line 2: unknown instruction: rum (did you mean run?)"),
    ("FROM a b\n", "dockerfile parse error on line 1: FROM requires either one or three arguments"),
    ("FROM a AS 1x\n", "invalid name for build stage"),
    ("FROM a\nCOPY x\n", "COPY requires at least two arguments, but only one was provided."),
    ("FROM a\nCOPY --form=a x y\n", "unknown flag: --form (did you mean from?)"),
    ("FROM a\nCOPY --from x y\n", "missing a value on flag: --from"),
    ("FROM a\nCOPY --link=maybe x y\n", "expecting boolean value for flag --link, not: maybe"),
    ("FROM a\nCOPY --from=a --from=b x y\n", "duplicate flag specified: --from"),
    ("FROM a\nENV\n", "ENV requires at least one argument"),
    ("FROM a\nENV x\n", "ENV must have two arguments"),
    ("FROM a\nENV a=b c\n", 'Syntax error - can\'t find = in "c". Must be of the form: name=value'),
    ("FROM a\nENV =b\n", "ENV names can not be blank"),
    ("FROM a\nCMD [1]\n", "when using JSON array syntax, arrays must be comprised of strings only"),
    ("FROM a\nSHELL sh -c\n", "SHELL requires the arguments to be in JSON form"),
    ("FROM a\nONBUILD FROM b\n", "FROM isn't allowed as an ONBUILD trigger"),
    ("FROM a\nONBUILD ONBUILD RUN x\n", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
    ("FROM a\nWORKDIR\n", "WORKDIR requires exactly one argument"),
    ("FROM a\nHEALTHCHECK TEST x\n", 'Unknown type "TEST" in HEALTHCHECK (try CMD)'),
    ("FROM a\nHEALTHCHECK CMD\n", "Missing command after HEALTHCHECK CMD"),
    ("FROM a\nHEALTHCHECK NONE x\n", "HEALTHCHECK NONE takes no arguments"),
    ("FROM a\nHEALTHCHECK --interval=1us CMD x\n", 'Interval "interval" cannot be less than 1ms'),
    ("FROM a\nRUN --network=moon x\n", 'invalid network mode "moon"'),
    ("FROM a\nRUN --mount=type=bin,target=/x x\n", 'unsupported mount type "bin" (did you mean bind?)'),
    ("FROM a\nRUN --mount=type=tmpfs,target=/x,mode=1 x\n", 'mode not allowed for "tmpfs" type mounts'),
    ("FROM a\nRUN --mount=from=$x,target=/x x\n", "'from' doesn't support variable expansion"),
    ("FROM a\nRUN --mount=type=secret x\n", "invalid secret mount. one of source, target required"),
    ("FROM a\nADD x <<E\nE\n", "ADD cannot accept a heredoc as a destination"),
    ('FROM a\nVOLUME [""]\n', "VOLUME specified can not be an empty string"),
    ("FROM a\nLABEL x=" + "a" * 70000 + "\n", "dockerfile line greater than max allowed size of 65535"),
]


@pytest.mark.parametrize(("source", "message"), ERRORS)
def test_errors(source: str, message: str) -> None:
    assert message in error(source).message


def test_an_error_shows_its_lines() -> None:
    source = "FROM a\nRUN x\n\nFOOBAR \\\n  y\nRUN z\n"
    failure = error(source)
    assert failure.location == Location(4, 5)
    failure.show_in(source, "my.Dockerfile")
    assert failure.hint == (
        "my.Dockerfile:4\n--------------------\n   2 |     RUN x\n   3 |     \n   4 | >>> FOOBAR \\\n"
        "   5 | >>>   y\n   6 |     RUN z\n--------------------"
    )


WORDS = ["FROM", "RUN", "COPY", "ENV", "ARG", "HEALTHCHECK", "ONBUILD", "LABEL", "#", "escape=`", "<<E", "E", "\\", "`"]
WORDS += [
    "[",
    '"a"',
    "]",
    "--mount=",
    "--from=a",
    "$x",
    "${x:-",
    "}",
    "'",
    '"',
    "=",
    " ",
    "\n",
    "\n",
    "\t",
    "\r\n",
    "é",
]


@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=5), max_size=60))
def test_nothing_crashes_the_parser(words: list[str]) -> None:
    try:
        program = read_program(parse(" ".join(words)))
    except DockerfileError:
        return
    assert program is not None


@given(st.binary(max_size=200))
def test_bytes_do_not_either(source: bytes) -> None:
    try:
        parse(b"FROM a\n" + source)
    except DockerfileError:
        return


NAMES = st.text(alphabet="abcXYZ_", min_size=1, max_size=6)


@given(st.lists(st.tuples(NAMES, st.text(alphabet="ab =$\"'\\\t#", max_size=12)), min_size=1, max_size=5))
def test_quoted_values_come_back(pairs: list[tuple[str, str]]) -> None:
    def quoted(value: str) -> str:
        return '"' + "".join(f"\\{char}" if char in '"\\$' else char for char in value) + '"'

    line = "ENV " + " ".join(f"{name}={quoted(value)}" for name, value in pairs)
    env = read(parse(f"FROM a\n{line}\n").nodes[1])
    assert isinstance(env, Env)
    assert [(pair.name, expand(pair.value, {}).text) for pair in env.pairs] == pairs
