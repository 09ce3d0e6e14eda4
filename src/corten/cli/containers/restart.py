"""``--restart``: ``no``, ``always``, ``unless-stopped``, ``on-failure[:max]``."""

from __future__ import annotations

from typing import Any

from corten.errors import Invalid


def parse(text: str) -> dict[str, Any]:
    """A restart policy of the API; raises Invalid."""
    name, colon, count = text.partition(":")
    if not text:
        return {"Name": "", "MaximumRetryCount": 0}
    if not name:
        raise Invalid("invalid restart policy format: no policy provided before colon")
    if ":" in count:
        raise Invalid("invalid restart policy format: restart policy takes at most two parts")
    if colon and not count.lstrip("-").isdecimal():
        raise Invalid("invalid restart policy format: maximum retry count must be an integer")
    return {"Name": name, "MaximumRetryCount": int(count) if count else 0}
