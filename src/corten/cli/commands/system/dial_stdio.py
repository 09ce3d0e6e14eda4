"""``corten system dial-stdio``: standard input and output joined to the daemon's socket; what ssh:// runs far away."""

from __future__ import annotations

import os
import socket
import sys
import threading

from corten.cli import streams
from corten.cli.command import Call, Command
from corten.client import autostart, transport
from corten.client.session import Tunnel


def run(call: Call) -> None:
    """Copy both ways until the daemon ends."""
    address = call.connection.where()
    try:
        connection = transport.dial(address)
    except transport.NoDaemon as refused:
        connection = autostart.start(refused)
    threading.Thread(target=_send, args=(connection,), daemon=True).start()
    for data in streams.received(Tunnel(connection, b"", "")):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def _send(connection: socket.socket) -> None:
    try:
        while data := os.read(0, streams.BLOCK):
            connection.sendall(data)
    except OSError:
        pass
    streams.half_close(connection)


COMMAND = Command(run, most=0)
