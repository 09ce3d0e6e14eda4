"""The registry's program: ``serve``, ``collect``, ``htpasswd``.

Owns: arguments, sockets, TLS, signals, and the processes that share one store and one port.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import getpass
import importlib
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path

from corten.errors import CortenError, Invalid
from corten.registry import config, logs
from corten.registry.app import make_app
from corten.registry.collect import Collector
from corten.registry.config import Options, Tls
from corten.registry.passwords import hashed
from corten.registry.processes import Workers, inherited, sweep
from corten.registry.repositories import Repositories
from corten.registry.server import Listener
from corten.registry.storage.base import Driver
from corten.registry.storage.files import Files

_log = logging.getLogger(__name__)
_DEFAULT_ROOT = "/var/lib/corten-registry"
_BACKLOG = 1024
_PARENT_CHECK = 1.0


def main(argv: Sequence[str]) -> int:
    """Run one command; returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        match arguments.command:
            case "serve":
                return _serve(arguments)
            case "collect":
                return _collect(arguments)
            case _:
                return _htpasswd(arguments)
    except (CortenError, OSError) as error:
        sys.stderr.write(f"registry: {error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="corten registry", description="An OCI registry.")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve a store")
    serve.add_argument("--addr", help="host:port to listen on (default 127.0.0.1:5000)")
    serve.add_argument("--processes", type=int, help="how many processes serve the port")
    serve.add_argument("--read-only", action="store_true", default=None, help="refuse pushes and deletions")
    serve.add_argument("--htpasswd", help="ask for a user and password of this file")
    serve.add_argument("--token", action="store_true", help="give tokens at /auth/token (needs --htpasswd)")
    serve.add_argument("--tls-cert", help="certificate chain, PEM")
    serve.add_argument("--tls-key", help="private key, PEM")
    serve.add_argument("--upstream", help="be a pull-through cache of this registry (URL)")
    serve.add_argument("--log", choices=("text", "json"), help="how to log")
    serve.add_argument("--log-level", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    collect = commands.add_parser("collect", help="remove what nothing needs; safe while serving")
    collect.add_argument("--dry-run", action="store_true", help="only tell")
    collect.add_argument("--grace", type=float, help="seconds during which a blob waits for its manifest")
    collect.add_argument("--untagged-after", type=float, help="remove manifests without a tag after so many seconds")
    for command in (serve, collect):
        command.add_argument("--root", help=f"the store's directory (default {_DEFAULT_ROOT})")
        command.add_argument("--config", help="TOML file; flags win over it")
    htpasswd = commands.add_parser("htpasswd", help="print a line for an htpasswd file")
    htpasswd.add_argument("user")
    htpasswd.add_argument("--password-stdin", action="store_true")
    return parser


def _options(arguments: argparse.Namespace) -> Options:
    options = config.load(Path(arguments.config)) if arguments.config else Options()
    given = vars(arguments)
    names = ("addr", "root", "processes", "read_only", "log")
    changes = {name: given[name] for name in names if given.get(name) is not None}
    if given.get("tls_cert") or given.get("tls_key"):
        if not (given["tls_cert"] and given["tls_key"]):
            raise Invalid("--tls-cert and --tls-key go together")
        changes["tls"] = Tls(given["tls_cert"], given["tls_key"])
    if given.get("htpasswd"):
        changes["auth"] = config.AuthOptions(given["htpasswd"], token=given["token"])
    if given.get("upstream"):
        changes["upstream"] = config.UpstreamOptions(given["upstream"])
    collect = {name: given[name] for name in ("grace", "untagged_after") if given.get(name) is not None}
    if collect:
        changes["collect"] = dataclasses.replace(options.collect, **collect)
    options = dataclasses.replace(options, **changes)
    return options if options.root or options.s3 else dataclasses.replace(options, root=_DEFAULT_ROOT)


def make_driver(options: Options) -> Driver:
    """The storage that the options ask for."""
    if options.s3 is not None:
        try:
            driver: Driver = importlib.import_module("corten.registry.storage.s3").S3(options.s3)
        except ModuleNotFoundError as error:
            raise Invalid(f"object storage needs the extra corten[s3]: {error}") from error
        return driver
    return Files(Path(options.root))


def _serve(arguments: argparse.Namespace) -> int:
    options = _options(arguments)
    logs.set_up(options.log, arguments.log_level)
    host, port = options.listen()
    if (given := inherited()) is not None:
        asyncio.run(_serve_here(options, given[0], parent=given[1]))
        sweep(given[1])
        return 0
    sock = _bind(host, port)
    _log.info("listening on %s:%s", *sock.getsockname()[:2])
    with Workers(sock, options.processes - 1).running() as workers:
        asyncio.run(_serve_here(options, sock, workers=workers))
    return 0


def _bind(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"listen tcp {host}:{port}: bind: {(error.strerror or '').lower()}") from error
    sock.listen(_BACKLOG)
    return sock


async def _serve_here(
    options: Options, sock: socket.socket, *, parent: int | None = None, workers: Workers | None = None
) -> None:
    """Serve until a signal comes, or until the process that started us (``parent``) has gone."""
    app = await make_app(make_driver(options), options)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    context = _tls(options.tls) if options.tls else None
    async with Listener(app, sock, context, options.header_timeout):
        tending = asyncio.create_task(workers.tend()) if workers else None
        while not stopping.is_set() and parent in (None, os.getppid()):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), None if parent is None else _PARENT_CHECK)
        if tending is not None:
            tending.cancel()
            await asyncio.wait([tending])
    _log.info("stopped")


def _tls(options: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(options.certificate, options.key)
    if options.client_ca:
        context.load_verify_locations(options.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _collect(arguments: argparse.Namespace) -> int:
    options = _options(arguments)
    logs.set_up(options.log)
    collector = Collector(Repositories(make_driver(options)), options.collect)
    asyncio.run(collector.collect(dry_run=arguments.dry_run))
    return 0


def _htpasswd(arguments: argparse.Namespace) -> int:
    password = sys.stdin.readline().rstrip("\n") if arguments.password_stdin else getpass.getpass()
    sys.stdout.write(f"{arguments.user}:{hashed(password)}\n")
    return 0
