"""Command lines: the rules of the parser, and every command's flags against Docker's own list."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from corten.cli import catalog, flags, main, usage
from corten.cli.flags import FlagError

TABLE = flags.parse_table(
    """
    -a, --all                An a
    -d, --detach             A d
    -e, --env=list           An e
    -n, --last=int(-1)       An n
    -p, --publish=list       A p
        --sig=bool(true)     A sig
        --names=strings      Several
    -m, --memory=bytes       An m
        --wait=duration      A wait
        --network=network    A network
    """
)

# What Docker has and we leave out, with the reason.
LEFT_OUT = re.compile(
    r"^(checkpoint|config|node|plugin|secret|service|stack|swarm|trust) "  # swarm, plugins, checkpoints
    r"|^manifest |^context (export|import)|^volume update"  # not served yet
)


def parse(*words: str, interspersed: bool = True) -> tuple[flags.Options, list[str], bool]:
    return flags.parse(words, TABLE, interspersed=interspersed)


def test_spellings() -> None:
    options, rest, asked = parse("-adeA=1", "-p80:80", "-p=81:81", "--publish", "82", "x", "--last=3", "--", "-n")
    assert options.on("all") and options.on("detach") and options.many("env") == ["A=1"]
    assert options.many("publish") == ["80:80", "81:81", "82"] and options.number("last") == 3
    assert rest == ["x", "-n"] and not asked


def test_defaults() -> None:
    options, _, _ = parse()
    assert options.number("last") == -1 and options.on("sig") and not options.given("sig") and not options.on("all")
    assert not parse("--sig=false")[0].on("sig")


def test_the_first_argument_ends_flags_where_they_may_not_follow() -> None:
    options, rest, _ = parse("-a", "image", "-d", "--bad", interspersed=False)
    assert options.on("all") and not options.on("detach") and rest == ["image", "-d", "--bad"]


def test_kinds() -> None:
    options, _, _ = parse("--names", "a,b", "--names=c", "-m1.5g", "--wait", "1h2m3.5s", "--net", "n")
    assert options.many("names") == ["a", "b", "c"] and options.size("memory") == 1610612736
    assert options.duration("wait") == 3723_500_000_000 and options.many("network") == ["n"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--bad"], "unknown flag: --bad"),
        (["-x"], "unknown shorthand flag: 'x' in -x"),
        (["-ax"], "unknown shorthand flag: 'x' in -x"),
        (["-e"], "flag needs an argument: 'e' in -e"),
        (["--env"], "flag needs an argument: --env"),
        (["-n", "x"], 'invalid argument "x" for "-n, --last" flag: strconv.ParseInt: parsing "x": invalid syntax'),
        (["-a=z"], 'invalid argument "z" for "-a, --all" flag: strconv.ParseBool: parsing "z": invalid syntax'),
        (["-m", "abc"], """invalid argument "abc" for "-m, --memory" flag: invalid size: 'abc'"""),
        (["--wait=3x"], 'invalid argument "3x" for "--wait" flag: time: unknown unit "x" in duration "3x"'),
        (["--wait=3"], 'invalid argument "3" for "--wait" flag: time: missing unit in duration "3"'),
    ],
)
def test_refusals_are_docker_s(words: list[str], message: str) -> None:
    with pytest.raises(FlagError) as refused:
        parse(*words)
    assert refused.value.message == message


def test_help() -> None:
    assert parse("--help")[2] and parse("-h")[2]


@pytest.mark.parametrize("path", sorted({*catalog.COMMANDS, *catalog.ALIASES}))
def test_every_command_loads_and_explains_itself(path: str) -> None:
    command = main.load(path)
    text = usage.of_command(path, command)
    assert text.startswith(f"Usage:  corten {path}") and catalog.summary(path) in text
    for flag in flags.parse_table(command.flags).values():
        assert flag.help, f"{path}: {flag} has no help"


SPEC = Path(__file__).parents[4] / "shared/specs/docker-cli-commands.txt"


def documented() -> list[tuple[str, str]]:
    if not SPEC.exists():
        return []
    lines = [line.split(" | ") for line in SPEC.read_text().splitlines() if " | " in line and line[0] != "#"]
    found = [(parts[0].partition(" (")[0], parts[2] if len(parts) > 2 else "") for parts in lines]
    return [(path, text) for path, text in found if path != "docker" and not LEFT_OUT.match(path)]


@pytest.mark.parametrize(("path", "text"), documented())
def test_flags_are_docker_s(path: str, text: str) -> None:
    """Same names, same short forms, same kinds; more are allowed, fewer are not."""
    ours = flags.parse_table(main.load(path).flags)
    for word in text.split():
        name, _, kind = word.rpartition("--")[2].partition("=")
        short = word[1] if not word.startswith("--") else ""
        if name == "help":
            continue
        assert name in ours, f"corten {path} has no --{name}"
        assert (ours[name].short, ours[name].kind) == (short, kind or "bool"), f"corten {path} --{name}"


def test_global_flags_are_found_before_the_command() -> None:
    assert catalog.find(["ps", "-a"]) == ("ps", 1)
    assert catalog.find(["image", "ls"]) == ("image ls", 2)
    assert catalog.find(["image"]) == ("image", 1)
    assert catalog.find(["nonsense"]) is None
