"""Logging in: does the registry take these credentials, and does it give a token to keep in place of a password?"""

from __future__ import annotations

from corten.distribution.faults import Answer, NoCredentials
from corten.distribution.hosts import Host
from corten.distribution.model import Credentials, Login
from corten.distribution.transport import Request, Transport
from corten.errors import Unauthorized
from corten.spec.distribution import ErrorDetail

_SUCCEEDED = "Login Succeeded"


async def log_in(transport: Transport, host: Host, credentials: Credentials) -> Login:
    """Try the credentials at one host."""
    await transport.ping(host, credentials)
    challenge = transport.authorizer.challenge(host.name)
    if challenge is None:
        return Login(_SUCCEEDED)  # it asks nobody
    if challenge.is_bearer:
        grant = await transport.authorizer.ask(challenge, credentials, (), offline=not credentials.identity_token)
        check = Credentials(registry_token=grant.token)
        identity_token = grant.refresh_token
    else:
        check, identity_token = credentials, ""
    try:
        async with transport.request(host, Request("GET", "/v2/", retry=False), check):
            return Login(_SUCCEEDED, identity_token)
    except NoCredentials:
        raise Unauthorized("no basic auth credentials") from None
    except Answer as error:
        if error.status == 401:
            errors = error.errors or (ErrorDetail("UNAUTHORIZED", "authentication required"),)
            raise Answer("GET", f"{host.url}/v2/", 401, errors) from error
        raise
