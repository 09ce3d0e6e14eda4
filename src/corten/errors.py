"""Every failure of Corten, by class.  Named where it happens, translated once at each border.

    CortenError
    ├── Invalid            the request makes no sense                     HTTP 400
    ├── Unauthorized       who are you?                                   HTTP 401
    ├── Denied             you may not                                    HTTP 403
    ├── NotFound           no such thing                                  HTTP 404
    ├── Conflict           not in this state, or the name is taken        HTTP 409
    ├── NotModified        already so                                     HTTP 304
    ├── NotImplementedYet  a known request that Corten does not serve     HTTP 501
    ├── Unavailable        a service we need does not answer              HTTP 503
    └── Internal           ours or the system's fault                     HTTP 500

The server maps them in ``server/faults.py``; the programs map them to exit codes.  Library code raises these,
never exits and never prints.  Messages follow Docker's wording where clients match on it.
"""

from __future__ import annotations


class CortenError(Exception):
    """A failure with a message for people and, where there is one, the next step to take (``hint``)."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class Invalid(CortenError):
    """The request makes no sense as it stands."""


class Unauthorized(CortenError):
    """Credentials are missing or wrong."""


class Denied(CortenError):
    """The caller is known and may not do this."""


class NotFound(CortenError):
    """The named thing does not exist."""


class Conflict(CortenError):
    """The thing is in a state that does not allow this, or its name is taken."""


class NotModified(CortenError):
    """The thing already is as asked."""


class NotImplementedYet(CortenError):
    """A request that the API knows and Corten does not serve."""


class Unavailable(CortenError):
    """Something outside Corten that this needs does not answer."""


class Internal(CortenError):
    """A fault of Corten or of the system below it."""
