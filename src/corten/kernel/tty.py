"""Pseudo-terminals: pairs, the controlling terminal, the window size.  See pty(7), ioctl_tty(2)."""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import termios

from corten.kernel import flags

_PTMX_DEVICE = os.makedev(5, 2)


def open_pair(ptmx: str) -> tuple[int, int]:
    """Master and slave of a new terminal, from the devpts instance that ``ptmx`` belongs to.

    The path may lie in a hostile tree: it is refused unless it is the multiplexer of a real devpts, and the slave is
    taken from the master (TIOCGPTPEER), never looked up by name.
    """
    master_fd = os.open(ptmx, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        status = os.fstat(master_fd)
        if not stat.S_ISCHR(status.st_mode) or status.st_rdev != _PTMX_DEVICE:
            raise OSError(22, "not a terminal multiplexer", ptmx)
        fcntl.ioctl(master_fd, flags.TIOCSPTLCK, struct.pack("i", 0))
        slave_fd = fcntl.ioctl(master_fd, flags.TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except BaseException:
        os.close(master_fd)
        raise
    return master_fd, slave_fd


def make_controlling(slave_fd: int) -> None:
    """Take the terminal for our session; the caller must have called setsid."""
    fcntl.ioctl(slave_fd, termios.TIOCSCTTY, 0)


def set_size(fd: int, height: int, width: int) -> None:
    """Rows and columns; the kernel sends SIGWINCH to the foreground group if they changed."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", height & 0xFFFF, width & 0xFFFF, 0, 0))


def size(fd: int) -> tuple[int, int]:
    """Rows and columns."""
    height, width, _, _ = struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
    return height, width
