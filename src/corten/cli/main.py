"""The program: global options, the command, its exit status.

Owns: finding and importing one command, and turning failures into words and a status: 1, or 125 for a command line
that cannot be read and for ``run`` where the daemon refuses; 130 after Ctrl-C.
"""

from __future__ import annotations

import importlib
import os
import sys

from corten.cli import catalog, command, connect, flags
from corten.cli.command import PROGRAM, Call, Command, Exit
from corten.errors import CortenError


def main(arguments: list[str] | None = None) -> int:
    """Run one command line; gives the exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        status = _dispatch(words)
        sys.stdout.flush()
        return status
    except Exit as leave:
        if leave.message:
            print(leave.message, file=sys.stderr)
        return leave.status
    except CortenError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader (head, less) has seen enough; keep the interpreter's own flush at exit from complaining.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _dispatch(words: list[str]) -> int:
    table = flags.parse_table(connect.GLOBAL_FLAGS)
    try:
        options, rest, help_wanted = flags.parse(words, table, interspersed=False)
    except flags.FlagError as error:
        raise Exit(125, _with_usage(error.message, f"Usage:  {PROGRAM} [OPTIONS] COMMAND [ARG...]", "")) from error
    if options.on("version"):
        from corten import __version__

        print(f"Corten version {__version__}")
        return 0
    if rest[:1] == ["help"]:
        rest, help_wanted = rest[1:], True
    found = catalog.find(rest)
    if found is None:
        if rest:
            raise _unknown(rest[0])
        from corten.cli import usage

        print(usage.of_program(connect.GLOBAL_FLAGS))
        return 0
    path, length = found
    connection = connect.Connection(options)
    if path in catalog.GROUPS:
        return _group(path, rest[length:])
    return _run(path, rest[length:], connection, help_wanted=help_wanted)


def _unknown(word: str) -> Exit:
    if word in catalog.FOREIGN:
        return Exit(1, f"{PROGRAM}: Corten does not serve '{word}' commands")
    return Exit(1, f"{PROGRAM}: unknown command: {PROGRAM} {word}\n\nRun '{PROGRAM} --help' for more information")


def _group(group: str, rest: list[str]) -> int:
    if not rest or rest[0] in ("--help", "-h", "help"):
        from corten.cli import usage

        print(usage.of_group(group))
        return 0
    if rest[0].startswith("-"):
        message, status = f"unknown flag: {rest[0]}", 125
    else:
        message, status = f"{PROGRAM}: unknown command: {PROGRAM} {group} {rest[0]}", 1
    raise Exit(status, _with_usage(message, f"Usage:  {PROGRAM} {group}", group))


def _run(path: str, words: list[str], connection: connect.Connection, *, help_wanted: bool) -> int:
    found = load(path)
    if found.raw:
        return found.run(Call(path, flags.Options({}), words, connection)) or 0
    try:
        options, arguments, asked = flags.parse(words, flags.parse_table(found.flags), interspersed=found.interspersed)
    except flags.FlagError as error:
        raise Exit(125, _with_usage(error.message, f"Usage:  {PROGRAM} {path} {found.usage}".rstrip(), path)) from error
    if help_wanted or asked:
        from corten.cli import usage

        print(usage.of_command(path, found))
        return 0
    if refused := command.arity_error(found, path, len(arguments)):
        line = f"Usage:  {PROGRAM} {path} {found.usage}".rstrip()
        raise Exit(1, f"{PROGRAM}: {refused}\n\n{line}\n\nRun '{PROGRAM} {path} --help' for more information")
    try:
        return found.run(Call(path, options, arguments, connection)) or 0
    except flags.FlagError as error:
        raise Exit(125, _with_usage(error.message, f"Usage:  {PROGRAM} {path} {found.usage}".rstrip(), path)) from error
    except CortenError as error:
        if found.failure == 1:
            raise
        more = f"{PROGRAM}: {error}\n\nRun '{PROGRAM} {path} --help' for more information"
        raise Exit(found.failure, more) from error


def load(path: str) -> Command:
    """Import the module of a command."""
    module = importlib.import_module(f"corten.cli.commands.{catalog.COMMANDS[catalog.canonical(path)][0]}")
    loaded = module.COMMAND
    assert isinstance(loaded, Command)
    return loaded


def _with_usage(message: str, line: str, path: str) -> str:
    name = f"{PROGRAM} {path}".rstrip()
    return f"{message}\n\n{line}\n\nRun '{name} --help' for more information"


if __name__ == "__main__":
    sys.exit(main())
