"""Fetching one file over HTTP: remote build contexts, imports from a URL.

Owns: the words for what goes wrong.  Knows nothing of what is in the file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import aiohttp

from corten.distribution.faults import unreachable
from corten.errors import Denied, Internal, Invalid, NotFound, Unauthorized

CONNECT_TIMEOUT = 30.0
STALL_TIMEOUT = 60.0
PIECE = 256 << 10

Told = Callable[[int, int], None]


async def download(url: str, path: Path, told: Told) -> None:
    """Write what is behind ``url`` to ``path``; ``told`` hears bytes so far and in all (0: unknown)."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=STALL_TIMEOUT)
    try:
        async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session, session.get(url) as response:
            _check(response.status, url)
            total, got = response.content_length or 0, 0
            with path.open("wb") as file:
                async for piece in response.content.iter_chunked(PIECE):
                    got += file.write(piece)
                    told(got, total)
    except ValueError as error:
        raise Internal(f"error downloading {url}: {error}") from None
    except (aiohttp.ClientError, TimeoutError) as error:
        raise unreachable("Get", url, error) from None


def _check(status: int, url: str) -> None:
    if status < 400:
        return
    kind = {401: Unauthorized, 403: Denied, 404: NotFound}.get(status, Invalid if status < 500 else Internal)
    raise kind(f"failed to GET {url} with status {status}")
