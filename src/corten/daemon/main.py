"""``cortend``: arguments, configuration, signals, listening.

Owns: the life of the process.  What it is made of is in ``app.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from aiohttp import web

from corten.daemon import listen
from corten.daemon.app import running_engine
from corten.daemon.config import Config, parse
from corten.daemon.reload import Reloader
from corten.engine.engine import Engine
from corten.errors import Conflict, CortenError
from corten.kernel import process
from corten.server.app import make_app
from corten.server.routes import TABLES
from corten.server.webhook import make_webhook_app

log = logging.getLogger("corten")

_TIME_SLICE_NS = 100_000
_YOUNG_OBJECTS = 5000

_LEVELS = {"debug": "DEBUG", "info": "INFO", "warn": "WARNING", "error": "ERROR", "fatal": "CRITICAL"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the daemon until it is told to end; returns the exit status."""
    try:
        config, only_validate = parse(sys.argv[1:] if arguments is None else arguments)
        if only_validate:
            print("configuration OK")
            return 0
        if os.geteuid() != 0:
            print("cortend needs to be started with root privileges.", file=sys.stderr)
            return 1
        logging.basicConfig(
            level="DEBUG" if config.debug else _LEVELS[config.log_level],
            format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        )
        with only_one(config.data_root), pidfile(config.pidfile):
            asyncio.run(serve(config, sys.argv[1:] if arguments is None else arguments))
    except CortenError as error:
        print(f"failed to start daemon: {error}", file=sys.stderr)
        return 1
    return 0


async def serve(config: Config, arguments: Sequence[str] = ()) -> None:
    """Open the engine, then the listeners, and wait for the signal to end."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    async with running_engine(config) as running:
        be_quick()
        engine = running.engine
        loop.add_signal_handler(signal.SIGHUP, Reloader(arguments, config, running.reload, engine.events))
        # A client that goes away ends its streams; see STREAMS in server/app.py.
        runner = web.AppRunner(
            make_app(engine, *TABLES), access_log=None, handler_cancellation=True, shutdown_timeout=1.0
        )
        await runner.setup()
        try:
            for listener in listen.open_all(config):
                await web.SockSite(runner, listener.socket, ssl_context=listener.tls, backlog=1024).start()
                log.info("API listen on %s", listener.url)
            async with webhooks(config, engine):
                await stop.wait()
        finally:
            await runner.cleanup()


def be_quick() -> None:
    """Every step of a container's start and end waits for us."""
    with contextlib.suppress(OSError):
        process.set_time_slice(_TIME_SLICE_NS)
    # What is there by now stays: no collection need look at it again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 50)


@contextlib.asynccontextmanager
async def webhooks(config: Config, engine: Engine) -> AsyncIterator[None]:
    """Listen for registries' webhooks, if that was asked for."""
    if not config.watch_listen:
        yield
        return
    runner = web.AppRunner(
        make_webhook_app(engine, listen.webhook_token(config)), access_log=None, shutdown_timeout=1.0
    )
    await runner.setup()
    try:
        listener = listen.open_webhook(config)
        await web.SockSite(runner, listener.socket, ssl_context=listener.tls).start()
        log.info("webhooks listen on %s", listener.url)
        yield
    finally:
        await runner.cleanup()


@contextlib.contextmanager
def only_one(data_root: Path) -> Iterator[None]:
    """Hold the data root; raises Conflict if another daemon does.  The lock dies with its holder."""
    data_root.mkdir(parents=True, exist_ok=True)
    with (data_root / "lock").open("w", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"another daemon uses {data_root}") from None
        yield


@contextlib.contextmanager
def pidfile(path: Path | None) -> Iterator[None]:
    """Say who we are; raises Conflict if a living process already says so there."""
    if path is None:
        yield
        return
    with contextlib.suppress(FileNotFoundError, ValueError):
        pid = int(path.read_text(encoding="ascii"))
        if pid != os.getpid() and Path(f"/proc/{pid}").exists() and "cortend" in _command(pid):
            raise Conflict(f"pid file found, ensure cortend is not running or delete {path}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(str(os.getpid()), encoding="ascii")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main())
