"""``corten context create``: a name for a daemon."""

from __future__ import annotations

import sys

from corten.cli import values
from corten.cli.command import Call, Command
from corten.client import contexts
from corten.client.address import Address
from corten.errors import Invalid

_FILES = {"ca": "ca.pem", "cert": "cert.pem", "key": "key.pem"}


def run(call: Call) -> None:
    """Write one."""
    options, folder, name = call.options, call.connection.folder, call.arguments[0]
    if source := options.text("from"):
        found = contexts.get(folder, source)
        context = found._replace(name=name, description=options.text("description") or found.description)
        files = {file: f"{found.folder}/{file}" for file in _FILES.values()} if found.folder else {}
    else:
        context, files = parse(name, options.text("description"), options.many("docker"))
    contexts.put(folder, context, files=files)
    print(name)
    print(f'Successfully created context "{name}"', file=sys.stderr)


def parse(name: str, description: str, words: list[str]) -> tuple[contexts.Context, dict[str, str]]:
    """A context and its TLS files from ``host=…,ca=…,cert=…,key=…,skip-tls-verify=…``; raises Invalid."""
    fields: dict[str, str] = {}
    for word in words:
        fields |= values.pairs(values.split_csv(word))
    unknown = set(fields) - {"host", "skip-tls-verify", *_FILES}
    if unknown:
        raise Invalid(f"unrecognized config key: {', '.join(sorted(unknown))}")
    if not fields.get("host"):
        raise Invalid("docker endpoint configuration is required: --docker host=ADDRESS")
    Address.parse(fields["host"])
    skip = values.parse_bool(fields.get("skip-tls-verify") or "false")
    files = {file: fields[key] for key, file in _FILES.items() if fields.get(key)}
    return contexts.Context(name, fields["host"], description, skip), files


COMMAND = Command(
    run,
    "[OPTIONS] CONTEXT",
    """
        --description=string     Description of the context
        --docker=stringToString  Set the endpoint (host, ca, cert, key, skip-tls-verify)
        --from=string            Create context from a named context
    """,
    least=1,
    most=1,
)
