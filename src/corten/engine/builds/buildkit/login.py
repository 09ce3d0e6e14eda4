"""Who the client of a session is to a registry."""

from __future__ import annotations

from corten.buildkit.sessions import Session
from corten.distribution.model import NOBODY, Credentials
from corten.engine.builds.ports import Keys
from corten.spec.reference import DEFAULT_REGISTRY

# docker: the name under which clients ask for the hub's credentials.
_HUB = "registry-1.docker.io"


def keys(session: Session) -> Keys:
    """Asked for anew each time: nothing is kept."""

    async def find(registry: str) -> Credentials:
        username, secret = await session.credentials(_HUB if registry == DEFAULT_REGISTRY else registry)
        if not secret:
            return NOBODY
        # docker: without a user the secret is an identity token.
        return Credentials(username=username, password=secret) if username else Credentials(identity_token=secret)

    return find
