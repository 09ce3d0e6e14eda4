"""What a command is, and what it is called with.

Owns: the value that each module of commands/ states, the call that its function receives, the exit that it may ask for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from corten.errors import CortenError, NotFound

if TYPE_CHECKING:
    from corten.cli.connect import Connection
    from corten.cli.flags import Options
    from corten.client.config import Config
    from corten.client.session import Session

PROGRAM = "corten"


class Exit(Exception):
    """Leave with this status after printing these words to standard error."""

    def __init__(self, status: int, message: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Call:
    """One use of a command: its options and arguments, and the daemon once it is asked for."""

    def __init__(self, path: str, options: Options, arguments: list[str], connection: Connection) -> None:
        self.path = path
        self.options = options
        self.arguments = arguments
        self._connection = connection

    @property
    def session(self) -> Session:
        """The daemon."""
        return self._connection.session

    @property
    def config(self) -> Config:
        """The user's configuration."""
        return self._connection.config

    @property
    def connection(self) -> Connection:
        """How the daemon is reached."""
        return self._connection

    def usage_error(self, message: str) -> Exit:
        """The exit of a command line that makes no sense."""
        return Exit(1, f"{message}\n\nRun '{PROGRAM} {self.path} --help' for more information")

    def for_each(self, action: Callable[[str], object], *, show: bool = True, forgives: bool = False) -> int:
        """Do it for each argument, print each that succeeded, report those that failed; the exit status.

        One that ``forgives`` (docker: with --force) is no failure for what is not there, though that is told.
        """
        failed = False
        for argument in self.arguments:
            try:
                action(argument)
            except CortenError as error:
                print(error, file=sys.stderr)
                failed = failed or not (forgives and isinstance(error, NotFound))
            else:
                if show:
                    print(argument, flush=True)
        return 1 if failed else 0


Action = Callable[[Call], "int | None"]


class Command(NamedTuple):
    """A command as its module states it."""

    run: Action
    usage: str = ""  # what follows the command's own words
    flags: str = ""  # the table; see flags.py
    least: int = 0  # arguments
    most: int | None = None  # None: any number
    interspersed: bool = True  # may flags follow arguments?
    failure: int = 1  # exit status where the daemon refuses
    raw: bool = False  # hand over the words as they are, flags and all


def arity_error(command: Command, path: str, count: int) -> str | None:
    """Docker's words for too few or too many arguments; None where the count is right."""
    least, most = command.least, command.most
    if count >= least and (most is None or count <= most):
        return None
    name = f"'{PROGRAM} {path}'"
    if most == 0:
        return f"{name} accepts no arguments"
    if most is None:
        wanted = f"requires at least {least}"
        number = least
    elif least == most:
        wanted, number = f"requires {least}", least
    elif count < least:
        wanted, number = f"requires at least {least}", least
    else:
        wanted, number = f"requires at most {most}", most
    return f"{name} {wanted} argument{'' if number == 1 else 's'}"
