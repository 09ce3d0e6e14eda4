"""TLS towards registries: the system's authorities, and those in ``certs.d/<host[:port]>/`` as Docker reads them.

certs.d/registry.example:5000/
├── ca.crt              *.crt: authorities to trust besides the system's
├── client.cert         *.cert with the *.key of the same stem: our certificate
└── client.key
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from pathlib import Path

from corten.errors import Invalid


def context_for(host: str, directories: Iterable[Path], *, verify: bool) -> ssl.SSLContext:
    """The context for one host."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    for directory in directories:
        folder = directory / host
        try:
            if not folder.is_dir():
                continue
            for authority in sorted(folder.glob("*.crt")):
                context.load_verify_locations(authority)
            for certificate in sorted(folder.glob("*.cert")):
                key = certificate.with_suffix(".key")
                if not key.exists():
                    raise Invalid(f"missing key {key.name} for client certificate {certificate}")
                context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            raise Invalid(f"cannot read the certificates in {folder}: {error}") from error
    return context
