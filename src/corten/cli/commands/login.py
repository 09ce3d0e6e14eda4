"""``corten login``: remember a user and password for a registry."""

from __future__ import annotations

import sys

from corten.cli.command import Call, Command, Exit
from corten.client import credentials
from corten.client.credentials import Credential
from corten.errors import CortenError


def run(call: Call) -> None:
    """Ask for what is missing, let the daemon try it, store it."""
    server = call.arguments[0] if call.arguments else ""
    key = credentials.registry_key(server)
    username, password = _given(call)
    known = Credential(key)
    if not username and not password:
        known = credentials.lookup(call.config, server)
        if known.username or known.identity_token:
            print("Authenticating with existing credentials...", end="")
            try:
                _try(call, known)
                return
            except CortenError as error:
                print(f"\nLogin did not succeed, error: {error}", file=sys.stderr)
    if not username or not password:
        username, password = _ask(username or "", password, known.username)
    _try(call, Credential(key, username, password))


def _given(call: Call) -> tuple[str, str]:
    options = call.options
    username, password = options.text("username"), options.text("password")
    if options.on("password-stdin"):
        if options.given("password"):
            raise Exit(1, "--password and --password-stdin are mutually exclusive")
        if not username:
            raise Exit(1, "Must provide --username with --password-stdin")
        password = sys.stdin.read().rstrip("\r\n")
    elif options.given("password"):
        print("WARNING! Using --password via the CLI is insecure. Use --password-stdin.", file=sys.stderr)
    return username, password


def _ask(username: str, password: str, suggested: str) -> tuple[str, str]:
    if not sys.stdin.isatty():
        raise Exit(1, "Error: Cannot perform an interactive login from a non TTY device")
    if not username:
        username = input(f"Username ({suggested}): " if suggested else "Username: ").strip() or suggested
        if not username:
            raise Exit(1, "Error: Non-null Username Required")
    if not password:
        import getpass

        password = getpass.getpass("Password: ")
        if not password:
            raise Exit(1, "Error: Password Required")
    return username, password


def _try(call: Call, credential: Credential) -> None:
    answer = call.session.post("/auth", body=credential.to_json()) or {}
    if token := answer.get("IdentityToken"):
        credential = credential._replace(password="", identity_token=str(token))
    if credentials.store(call.config, credential):
        print(
            f"\nWARNING! Your credentials are stored unencrypted in '{call.config.path}'.\n"
            "Configure a credential helper to remove this warning.\n",
            file=sys.stderr,
        )
    print(answer.get("Status") or "Login Succeeded")


COMMAND = Command(
    run,
    "[OPTIONS] [SERVER]",
    """
    -p, --password=string    Password
        --password-stdin     Take the password from stdin
    -u, --username=string    Username
    """,
    most=1,
)
