"""What the programs import: the client stays light, every module can be imported alone."""

from __future__ import annotations

import subprocess
import sys


def imported_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_the_client_does_not_import_the_daemons_libraries() -> None:
    modules = imported_by("import corten.cli.main")
    assert not modules & {"aiohttp", "asyncio", "sqlite3", "zstandard", "isal"}


def test_the_package_itself_imports_nothing() -> None:
    assert {name for name in imported_by("import corten") if name.startswith("corten.")} == set()
