"""The documents say what the code does: routes that are not served, links between pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from corten.api.routes import ROUTES, SWARM_GROUPS
from corten.server.routes import TABLES

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_api_page_lists_what_is_not_served() -> None:
    served = {name for table in TABLES for name in table}
    missing = {
        f"{route.method} {route.path.replace(':*', '')}"
        for route in ROUTES
        if route.name not in served and route.group not in SWARM_GROUPS
    }
    listed = set(re.findall(r"^- `([A-Z]+ [^`]+)`$", (ROOT / "docs/api.md").read_text(), re.MULTILINE))
    assert listed == missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
