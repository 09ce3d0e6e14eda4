"""What went wrong with a registry, in Docker's words and in our classes.

Owns: Answer (a registry's refusal), and the translations for connections, pulls and pushes.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from collections.abc import Sequence

import aiohttp

from corten.errors import CortenError, Denied, Invalid, NotFound, Unauthorized, Unavailable
from corten.spec.distribution import ErrorDetail
from corten.spec.reference import Reference

_LIMIT_HINT = "The registry limits how often images may be pulled: log in, wait, or set a mirror (--registry-mirror)."


class Answer(CortenError):
    """A registry answered, and not with what was asked for."""

    def __init__(self, method: str, url: str, status: int, errors: Sequence[ErrorDetail], text: str = "") -> None:
        self.method = method
        self.url = _redacted(url)
        self.status = status
        self.errors = tuple(errors)
        super().__init__(str(errors[0]) if errors else text or f"received unexpected HTTP status: {_named(status)}")

    @property
    def code(self) -> str:
        """The first error's code, or empty."""
        return self.errors[0].code if self.errors else ""

    @property
    def is_worth_retrying(self) -> bool:
        """Whether the same request may do better later."""
        return self.status in (408, 425, 429) or self.status >= 500


class NoCredentials(CortenError):
    """The registry wants credentials and there are none."""


def unreachable(method: str, url: str, error: BaseException) -> Unavailable:
    """A connection that could not be made or broke, as Go's HTTP client would say it."""
    return Unavailable(f'{method.capitalize()} "{_redacted(url)}": {_reason(url, error)}')


def is_plain_http(error: BaseException) -> bool:
    """Whether a TLS handshake failed since the other side does not speak TLS."""
    return isinstance(error, aiohttp.ClientConnectorSSLError) or (
        isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLCertVerificationError)
    )


def pull_fault(error: CortenError, reference: Reference) -> CortenError:
    """What a user is told when a pull of ``reference`` failed."""
    if isinstance(error, NoCredentials):
        return Denied(str(error))
    if not isinstance(error, Answer):
        return error
    name, detail = reference.familiar_name, error.message
    if error.code == "DENIED" or (error.status == 403 and not error.errors):
        return NotFound(
            f"pull access denied for {name}, repository does not exist or may require 'docker login': {detail}"
        )
    if error.status == 401 or error.code == "UNAUTHORIZED":
        return Denied(
            f"pull access denied for {name}, repository does not exist or may require 'docker login': {detail}"
        )
    if error.code == "NAME_UNKNOWN":
        return NotFound(f"repository {name} not found: {detail}")
    if error.code == "MANIFEST_UNKNOWN" or error.status == 404:
        detail = detail if error.errors else "manifest unknown: manifest unknown"
        return NotFound(f"manifest for {reference.familiar()} not found: {detail}")
    return _general(error)


def push_fault(error: CortenError, reference: Reference) -> CortenError:
    """What a user is told when a push to ``reference`` failed."""
    if isinstance(error, NoCredentials):
        return Denied(str(error))
    if not isinstance(error, Answer):
        return error
    if error.status in (401, 403) or error.code in ("DENIED", "UNAUTHORIZED"):
        return Denied(error.message if error.errors else "denied: requested access to the resource is denied")
    return _general(error)


def login_fault(error: CortenError, url: str) -> CortenError:
    """What a user is told when a login failed."""
    if isinstance(error, Answer) and error.status in (400, 401, 403):
        detail = error.message if error.errors else "unauthorized: authentication required"
        return Unauthorized(f'Get "{_redacted(url)}": {detail}')
    return _general(error) if isinstance(error, Answer) else error


def _general(error: Answer) -> CortenError:
    if error.status == 429 or error.code == "TOOMANYREQUESTS":
        message = error.message if error.errors else "toomanyrequests: too many requests"
        return Unavailable(message, hint=_LIMIT_HINT)
    if error.status >= 500:
        return Unavailable(error.message)
    if error.status == 404:
        return NotFound(error.message)
    return Invalid(error.message)


def _reason(url: str, error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"tls: failed to verify certificate: x509: {_certificate(error.certificate_error)}"
    if isinstance(error, aiohttp.ClientConnectorDNSError | socket.gaierror):
        host = error.host if isinstance(error, aiohttp.ClientConnectorDNSError) else ""
        return f"dial tcp: lookup {host}: no such host"
    if is_plain_http(error):
        return "http: server gave HTTP response to HTTPS client"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"dial tcp {_address(error)}: connect: {_system(error.os_error)}"
    if isinstance(error, TimeoutError | aiohttp.ServerTimeoutError):
        return "net/http: request canceled (Client.Timeout exceeded while awaiting headers)"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "EOF"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "unexpected EOF"
    if isinstance(error, OSError) and error.errno:
        return f"read tcp: {_system(error)}"
    return str(error) or type(error).__name__


def _certificate(error: Exception) -> str:
    text = str(error)
    if "self-signed" in text or "self signed" in text or "unable to get local issuer" in text:
        return "certificate signed by unknown authority"
    if "expired" in text:
        return "certificate has expired or is not yet valid"
    if "Hostname mismatch" in text or "IP address mismatch" in text:
        return re.sub(r".*?: (?=Hostname|IP)", "", text).partition(". (")[0]
    return text


def _address(error: aiohttp.ClientConnectorError) -> str:
    """The address that was tried; asyncio tells it only in its text."""
    found = re.search(r"\('([^']+)', (\d+)", str(error.os_error))
    host, port = (found[1], found[2]) if found else (error.host, str(error.port))
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _system(error: OSError) -> str:
    number = error.errno
    if number is None and (found := re.search(r"\[Errno (\d+)\]", str(error))):  # several addresses: one text for all
        number = int(found[1])
    return os.strerror(number).lower() if number else str(error) or errno.errorcode.get(0, "failed")


def _named(status: int) -> str:
    reasons = {500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout"}
    return f"{status} {reasons[status]}" if status in reasons else str(status)


def _redacted(url: str) -> str:
    """Without a query (signatures) and without a password."""
    return re.sub(r"//[^/@]*@", "//", url.partition("?")[0])
