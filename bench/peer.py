"""One end of a transfer, started in a container's network namespace by ``networks.py``.  Standard library only.

sink PORT                          say "ready", take one connection, read it to its end, answer one byte
source ADDRESS PORT BYTES          send so much, wait for that byte, print bytes a second
ask NAME SECONDS                   ask 127.0.0.11 for a name, eight questions on their way; print how many were answered
"""

from __future__ import annotations

import socket
import struct
import sys
import time

CHUNK = 1 << 18


def sink(port: int) -> None:
    with socket.create_server(("0.0.0.0", port), reuse_port=False) as server:
        print("ready", flush=True)
        client, _ = server.accept()
        buffer = bytearray(CHUNK * 4)
        with client:
            while client.recv_into(buffer):
                pass
            client.sendall(b".")


def source(address: str, port: int, total: int) -> None:
    chunk = bytes(CHUNK)
    with socket.create_connection((address, port), timeout=60) as server:
        begin = time.perf_counter()
        for _ in range(total // CHUNK):
            server.sendall(chunk)
        server.shutdown(socket.SHUT_WR)
        server.recv(1)
        print(total / (time.perf_counter() - begin))


def ask(name: str, seconds: float) -> None:
    words = b"".join(bytes([len(word)]) + word.encode() for word in name.split(".")) + b"\0"
    answered = sent = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.11", 53))
        sock.settimeout(1)

        def send() -> None:
            nonlocal sent
            sent += 1
            sock.send(struct.pack(">HHHHHH", sent & 0xFFFF, 0x100, 1, 0, 0, 0) + words + struct.pack(">HH", 1, 1))

        for _ in range(8):
            send()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            data = sock.recv(512)
            assert data[3] & 15 == 0, "no such name"
            assert data[6:8] != b"\0\0", "no address"
            answered += 1
            send()
    print(answered)


if __name__ == "__main__":
    kind, *rest = sys.argv[1:]
    if kind == "sink":
        sink(int(rest[0]))
    elif kind == "source":
        source(rest[0], int(rest[1]), int(rest[2]))
    else:
        ask(rest[0], float(rest[1]))
