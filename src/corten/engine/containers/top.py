"""``docker top``: the processes of a container in ps's columns, read from /proc by the host's numbers.

Owns: the columns.  The daemon starts no process for this, so the columns are those listed here.
"""

from __future__ import annotations

import os
import pwd
import time
from typing import Any

from corten.engine.containers.live import Live
from corten.errors import Conflict, Invalid

_TITLES = {
    "uid": "UID",
    "user": "USER",
    "pid": "PID",
    "ppid": "PPID",
    "c": "C",
    "pcpu": "%CPU",
    "%cpu": "%CPU",
    "pmem": "%MEM",
    "%mem": "%MEM",
    "vsz": "VSZ",
    "rss": "RSS",
    "stime": "STIME",
    "start": "START",
    "tty": "TTY",
    "tname": "TTY",
    "stat": "STAT",
    "s": "S",
    "state": "S",
    "ni": "NI",
    "time": "TIME",
    "etime": "ELAPSED",
    "cmd": "CMD",
    "args": "COMMAND",
    "command": "COMMAND",
    "comm": "COMMAND",
    "ucmd": "CMD",
}
_FULL = ["uid", "pid", "ppid", "c", "stime", "tty", "time", "cmd"]
_AUX = ["user", "pid", "pcpu", "pmem", "vsz", "rss", "tty", "stat", "start", "time", "command"]
_SHORT = ["pid", "tty", "time", "cmd"]
# Options that choose the columns or only which processes are listed, which are the container's in any case.
_SYSV, _BSD = frozenset("AadefFHjlLTwy"), frozenset("aAcefgjlrSuvwx")
_WRONG_BSD = "unsupported option (BSD syntax)"


async def top(live: Live, arguments: str) -> dict[str, Any]:
    """``docker top``: ps over the container's processes, read from /proc; raises Invalid for other columns."""
    if not live.record.is_running or live.task is None:
        raise Conflict(f"container {live.record.id} is not running")
    columns = read_columns(arguments or "-ef")
    pids = await live.task.pids()
    names = [name for name, _ in columns]
    rows = [row for row in (_row(pid, names) for pid in sorted(pids)) if row is not None]
    return {"Titles": [title for _, title in columns], "Processes": rows}


def read_columns(arguments: str) -> list[tuple[str, str]]:
    """Names and titles of the columns that ps would show for these options; raises Invalid in ps's words."""
    words, flags, chosen = arguments.split(), set[str](), list[tuple[str, str]]()
    while words:
        word = words.pop(0)
        if word.startswith("--"):
            name, _, value = word.partition("=")
            if name != "--format":
                raise Invalid("ps: error: unknown gnu long option")
            chosen += _formats(value or _following(words))
            continue
        known, wrong = (_SYSV, "unsupported SysV option") if word.startswith("-") else (_BSD, _WRONG_BSD)
        letters, takes_list, rest = word.lstrip("-").partition("o")
        if not set(letters) <= known:
            raise Invalid(f"ps: error: {wrong}")
        flags |= {letter if word.startswith("-") else f"bsd {letter}" for letter in letters}
        if takes_list:
            chosen += _formats(rest or _following(words))
    columns = chosen or [(name, _TITLES[name]) for name in _format_of(flags)]
    if "PID" not in (title for _, title in columns):
        raise Invalid("Couldn't find PID field in ps output")
    return columns


def _following(words: list[str]) -> str:
    if not words:
        raise Invalid("ps: error: format specification must follow -o")
    return words.pop(0)


def _formats(text: str) -> list[tuple[str, str]]:
    """``pid,comm`` or ``pid=PID``, whose title is all that follows."""
    found: list[tuple[str, str]] = []
    listed, renames, title = text.partition("=")
    for name in listed.split(","):
        if name not in _TITLES:
            raise Invalid(f'ps: error: unknown user-defined format specifier "{name}"')
        found.append((name, _TITLES[name]))
    if renames:
        found[-1] = (found[-1][0], title)
    return found


def _format_of(flags: set[str]) -> list[str]:
    if "bsd u" in flags:
        return _AUX
    return _FULL if flags & {"f", "F", "l", "bsd l", "bsd f"} else _SHORT


def _row(pid: int, columns: list[str]) -> list[str] | None:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            text = file.read()
        with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
            args = file.read().rstrip("\0").replace("\0", " ")
        owner = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None  # it has ended meanwhile
    name, _, rest = text.partition("(")[2].rpartition(")")
    values = rest.split()
    return [_cell(column, pid, owner, name, args, values) for column in columns]


def _cell(column: str, pid: int, owner: int, name: str, args: str, values: list[str]) -> str:
    ticks = os.sysconf("SC_CLK_TCK")
    used = (int(values[11]) + int(values[12])) // ticks
    begun = time.time() - (_uptime() - int(values[19]) / ticks)
    match column:
        case "uid" | "user":
            return _user(owner)
        case "pid":
            return str(pid)
        case "ppid":
            return values[1]
        case "c" | "pcpu" | "%cpu":
            share = 100 * used / max(time.time() - begun, 1)
            return str(int(share)) if column == "c" else f"{share:.1f}"
        case "pmem" | "%mem":
            return f"{100 * int(values[21]) / os.sysconf('SC_PHYS_PAGES'):.1f}"
        case "vsz":
            return str(int(values[20]) // 1024)
        case "rss":
            return str(int(values[21]) * os.sysconf("SC_PAGE_SIZE") // 1024)
        case "stime" | "start":
            return time.strftime("%H:%M", time.localtime(begun))
        case "tty" | "tname":
            return _tty(int(values[4]))
        case "stat" | "s" | "state":
            return values[0]
        case "ni":
            return values[16]
        case "time":
            return f"{used // 3600:02d}:{used // 60 % 60:02d}:{used % 60:02d}"
        case "etime":
            past = int(time.time() - begun)
            return f"{past // 60:02d}:{past % 60:02d}"
        case "comm" | "ucmd":
            return name
    return args or f"[{name}]"


def _uptime() -> float:
    with open("/proc/uptime", encoding="ascii") as file:
        return float(file.read().split()[0])


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _tty(number: int) -> str:
    major, minor = number >> 8 & 0xFFF, number & 0xFF
    return f"pts/{minor}" if 136 <= major <= 143 else "?"
