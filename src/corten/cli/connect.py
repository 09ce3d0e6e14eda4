"""From global options and environment to a session: which daemon, which configuration.

Owns: the order in which flag, context and environment win.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from corten.client import address, config
from corten.errors import Invalid

if TYPE_CHECKING:
    import socket

    from corten.cli.flags import Options
    from corten.client.session import Session
    from corten.client.transport import NoDaemon

GLOBAL_FLAGS = """
        --config=string        Location of client config files
    -c, --context=string       Name of the context that says which daemon (overrides CORTEN_HOST and DOCKER_HOST)
    -D, --debug                Enable debug mode
    -H, --host=list            Daemon socket to connect to
    -l, --log-level=string(info)  Set the logging level ("debug", "info", "warn", "error", "fatal")
        --tls                  Use TLS; implied by --tlsverify
        --tlscacert=string     Trust certs signed only by this CA
        --tlscert=string       Path to TLS certificate file
        --tlskey=string        Path to TLS key file
        --tlsverify            Use TLS and verify the remote
    -v, --version              Print version information and quit
"""


class Connection:
    """The daemon and the configuration, each made when first wanted."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._session: Session | None = None
        self._config: config.Config | None = None

    @property
    def folder(self) -> str:
        """Where the configuration lies."""
        return self._options.text("config") or config.folder()

    @property
    def config(self) -> config.Config:
        """The user's configuration."""
        if self._config is None:
            self._config = config.Config.load(self.folder)
        return self._config

    @property
    def session(self) -> Session:
        """The daemon."""
        if self._session is None:
            from corten.client.session import Session

            headers = {}
            if self._options.given("config") or os.path.exists(os.path.join(self.folder, "config.json")):
                headers = {str(k): str(v) for k, v in self.config.table("HttpHeaders").items()}
            self._session = Session(self.where(), headers=headers, start=_start)
        return self._session

    def context(self) -> str:
        """The name of the context in use; ``default`` stands for the environment and the default socket."""
        if self._options.given("host"):
            return "default"
        if self._options.given("context"):
            return self._options.text("context")
        if os.environ.get("CORTEN_HOST") or os.environ.get("DOCKER_HOST"):
            return "default"
        if name := os.environ.get("CORTEN_CONTEXT") or os.environ.get("DOCKER_CONTEXT"):
            return name
        path = os.path.join(self.folder, "corten-context")
        if os.path.exists(path):
            from corten.client import contexts

            return contexts.current(self.folder)
        return "default"

    def where(self) -> address.Address:
        """Which daemon; raises Invalid or NotFound."""
        hosts = self._options.many("host")
        if hosts and self._options.given("context"):
            raise Invalid("conflicting options: cannot specify both --host and --context")
        if len(hosts) > 1:
            raise Invalid("Specify only one -H")
        if hosts:
            found = address.Address.parse(hosts[0], self._tls())
            return found._replace(is_default=found.kind == "unix" and found.path == address.DEFAULT_SOCKET)
        name = self.context()
        if name != "default":
            from corten.client import contexts

            return contexts.get(self.folder, name).address()
        found = address.from_environment(os.environ, self.folder) or address.default()
        tls = self._tls()
        return found._replace(tls=tls) if tls and found.kind == "tcp" else found

    def _tls(self) -> address.Tls | None:
        options = self._options
        if not options.on("tls") and not options.on("tlsverify"):
            return address.tls_from_environment(os.environ, self.folder)
        return address.tls_files(
            os.environ.get("DOCKER_CERT_PATH") or self.folder,
            verify=options.on("tlsverify"),
            ca=options.text("tlscacert"),
            certificate=options.text("tlscert"),
            key=options.text("tlskey"),
        )


def _start(refused: NoDaemon) -> socket.socket:
    from corten.client import autostart

    return autostart.start(refused)
