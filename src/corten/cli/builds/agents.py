"""``--ssh``: agents that a build may use: one that runs already, or one of its own for keys that are files.

A key is never sent: OpenSSH's own programs hold it on this machine for as long as the build runs, and ask for its
passphrase where it has one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator

from corten.errors import Invalid, NotFound

PATIENCE = 5.0


@contextlib.contextmanager
def offered(words: list[str], *, is_local: bool) -> Iterator[dict[str, str]]:
    """``default`` or ``id=SOCKET|KEY[,KEY]``: sockets by their ids, which the daemon opens itself."""
    with contextlib.ExitStack() as stack:
        found: dict[str, str] = {}
        for word in words:
            name, _, given = word.partition("=")
            name = name or "default"
            if name in found:
                raise Invalid(f"invalid duplicate ID {name}")
            paths = given.split(",") if given else [os.environ.get("SSH_AUTH_SOCK", "")]
            if paths == [""]:
                raise Invalid("invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set")
            paths = [os.path.realpath(os.path.expanduser(path)) for path in paths]
            sockets = [path for path in paths if _is_socket(path)]
            if sockets and len(paths) > 1:
                raise Invalid("only single socket allowed")
            if not is_local:
                raise Invalid("--ssh needs a daemon on this machine (use docker buildx with a distant one)")
            found[name] = sockets[0] if sockets else stack.enter_context(_agent_of(paths))
        yield found


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError as error:
        raise NotFound(f"failed to open {path}: {error.strerror}") from error


@contextlib.contextmanager
def _agent_of(keys: list[str]) -> Iterator[str]:
    """An agent that knows these keys; gone with the block."""
    programs = [shutil.which(name) for name in ("ssh-agent", "ssh-add")]
    if None in programs:
        raise Invalid("--ssh with key files needs ssh-agent and ssh-add (Debian: openssh-client), or a running agent")
    agent, add = (str(path) for path in programs)
    directory = tempfile.mkdtemp(prefix="corten-ssh-")
    path = os.path.join(directory, "agent.sock")
    process = subprocess.Popen(
        [agent, "-D", "-a", path], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        _wait_for(path, process)
        done = subprocess.run([add, "-q", *keys], env=os.environ | {"SSH_AUTH_SOCK": path}, check=False)
        if done.returncode != 0:
            raise Invalid(f"ssh-add did not take {', '.join(keys)}")
        yield path
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(directory, ignore_errors=True)


def _wait_for(path: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + PATIENCE
    while not os.path.exists(path):
        if process.poll() is not None or time.monotonic() > until:
            raise Invalid("ssh-agent did not start")
        time.sleep(0.01)
