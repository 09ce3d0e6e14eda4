"""Help texts: of the program, of a group, of a command; wrapped to the terminal.

Owns: how they look.  Imported only when help is shown.
"""

from __future__ import annotations

import shutil
import textwrap

from corten.cli import catalog, flags
from corten.cli.command import PROGRAM, Command

_KINDS = {"bool": "", "strings": "strings"}


def width() -> int:
    """Columns to wrap at."""
    return max(60, min(shutil.get_terminal_size((80, 24)).columns, 160))


def flag_lines(table: dict[str, flags.Flag], columns: int) -> str:
    """The options, aligned."""
    rows: list[tuple[str, str]] = []
    for flag in sorted(table.values()):
        left = f"  -{flag.short}, --{flag.name}" if flag.short else f"      --{flag.name}"
        kind = _KINDS.get(flag.kind, flag.kind)
        default = ""
        if flag.default:
            default = f' (default "{flag.default}")' if flag.kind == "string" else f" (default {flag.default})"
        rows.append((f"{left} {kind}" if kind else left, flag.help + default))
    return _align(rows, columns, gap=3)


def _align(rows: list[tuple[str, str]], columns: int, gap: int) -> str:
    indent = max((len(left) for left, _ in rows), default=0) + gap
    lines: list[str] = []
    for left, right in rows:
        wrapped = textwrap.wrap(right, max(24, columns - indent)) or [""]
        lines.append(f"{left:<{indent}}{wrapped[0]}".rstrip())
        lines += [" " * indent + more for more in wrapped[1:]]
    return "\n".join(lines)


def usage_line(path: str, command: Command) -> str:
    """``Usage:  corten stop [OPTIONS] CONTAINER [CONTAINER...]``."""
    return f"Usage:  {PROGRAM} {path} {command.usage}".rstrip()


def of_command(path: str, command: Command) -> str:
    """A command's help."""
    canonical = catalog.canonical(path)
    parts = [usage_line(path, command), catalog.COMMANDS[canonical][1]]
    names = [canonical, *sorted(name for name, target in catalog.ALIASES.items() if target == canonical)]
    if len(names) > 1:
        parts.append("Aliases:\n  " + ", ".join(f"{PROGRAM} {name}" for name in names))
    if table := flags.parse_table(command.flags):
        parts.append("Options:\n" + flag_lines(table, width()))
    return "\n\n".join(parts)


def of_group(group: str) -> str:
    """The commands of a group."""
    rows = [f"  {name:<11} {summary}" for name, summary in sorted(catalog.members(group).items())]
    return "\n\n".join(
        [
            f"Usage:  {PROGRAM} {group} COMMAND",
            catalog.GROUPS[group],
            "Commands:\n" + "\n".join(rows),
            f"Run '{PROGRAM} {group} COMMAND --help' for more information on a command.",
        ]
    )


def of_program(global_flags: str) -> str:
    """Everything there is."""
    columns = width()

    def section(title: str, names: list[str]) -> str:
        return f"{title}:\n" + "\n".join(f"  {name:<11} {catalog.summary(name)}" for name in names)

    rest = sorted(name for name in catalog.top_level() if name not in catalog.FREQUENT)
    return "\n\n".join(
        [
            f"Usage:  {PROGRAM} [OPTIONS] COMMAND",
            "A container platform that speaks Docker's language",
            section("Common Commands", catalog.FREQUENT),
            section("Management Commands", sorted(catalog.GROUPS)),
            section("Commands", rest),
            "Global Options:\n" + flag_lines(flags.parse_table(global_flags), columns),
            f"Run '{PROGRAM} COMMAND --help' for more information on a command.",
        ]
    )
