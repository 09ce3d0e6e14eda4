"""Many starts at a time: cycles of create, start, wait and remove by eight clients at once.

The client is as lean as can be, a keep-alive connection a thread and requests of a few lines: it shares the machine's
processors with the engine, and docker-py takes more of them for a cycle than there is to win or lose in an engine.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

from bench.engines import Engine
from bench.measure import Interleaved

CLIENTS = 8
_WARM_SECONDS, _SECONDS = 1.0, 3.0
_CREATE = json.dumps({"Image": "busybox", "Cmd": ["true"]}).encode()


class Client(HTTPConnection):
    """A connection to an engine's socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=120)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(str(self._path))

    def call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """The body of the answer; raises if that is a refusal."""
        self.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        response = self.getresponse()
        answer = response.read()
        if response.status >= 300:
            raise RuntimeError(f"{method} {path}: {response.status} {answer.decode(errors='replace')}")
        return answer

    def cycle(self) -> None:
        """One container's life."""
        path = f"/containers/{json.loads(self.call('POST', '/containers/create', _CREATE))['Id']}"
        self.call("POST", f"{path}/start")
        self.call("POST", f"{path}/wait")
        self.call("DELETE", path)


class _Burst:
    """Clients that go through cycles until they are told to end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ends: list[float] = []  # when each cycle was through
        self._failures: list[Exception] = []
        self._is_over = False

    def _run(self) -> None:
        try:
            with closing(Client(self._path)) as client:
                while not self._is_over:
                    client.cycle()
                    self._ends.append(time.perf_counter())
        except Exception as error:  # told by rate(), in the thread that wants to know
            self._failures.append(error)

    def rate(self) -> float:
        """Cycles a second, counted when all clients have been at work for a while."""
        threads = [threading.Thread(target=self._run) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        time.sleep(_WARM_SECONDS)
        begin = time.perf_counter()
        time.sleep(_SECONDS)
        end = time.perf_counter()
        self._is_over = True
        for thread in threads:
            thread.join()
        if self._failures:
            raise self._failures[0]
        return sum(begin <= at < end for at in self._ends) / (end - begin)


@contextmanager
def _starts(engine: Engine) -> Iterator[Callable[[], float]]:
    yield lambda: _Burst(engine.root / "sock").rate()


MEASURES = [Interleaved("API create+start+wait+remove, 8 at once", "/s", _starts, 10, samples=5)]
