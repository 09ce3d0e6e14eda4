"""Reading and writing the small files of control groups."""

from __future__ import annotations

import os


def write(path: str, text: str) -> None:
    """One write call, which is what the kernel parses."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    except OSError as failure:
        raise OSError(failure.errno, f"{failure.strerror} (writing {text!r})", path) from None
    finally:
        os.close(fd)


def read(path: str) -> str:
    """The text; "" where the file does not exist."""
    try:
        with open(path, "rb", buffering=0) as stream:
            return stream.read().decode()
    except (FileNotFoundError, OSError):
        return ""


def read_number(path: str) -> int | None:
    """A file with one number; None for "max" or no file."""
    text = read(path).strip()
    return int(text) if text.lstrip("-").isdigit() else None


def read_table(path: str) -> dict[str, int]:
    """A file of "name number" lines."""
    table = {}
    for line in read(path).splitlines():
        name, _, number = line.rpartition(" ")
        if number.lstrip("-").isdigit():
            table[name] = int(number)
    return table


def pids_beneath(directory: str) -> list[int]:
    """Processes of a group and of the groups that the container made in it."""
    found = [int(word) for word in read(f"{directory}/cgroup.procs").split()]
    try:
        children = [entry.path for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return found
    for child in children:
        found += pids_beneath(child)
    return found


def remove_tree(directory: str) -> bool:
    """Remove a group and those within; false if it is still in use."""
    try:
        os.rmdir(directory)
        return True
    except FileNotFoundError:
        return True
    except OSError:
        pass
    try:
        for entry in os.scandir(directory):
            if entry.is_dir(follow_symlinks=False):
                remove_tree(entry.path)
        os.rmdir(directory)
        return True
    except FileNotFoundError:
        return True
    except OSError:
        return False
