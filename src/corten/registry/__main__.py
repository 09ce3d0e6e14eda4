"""``python -m corten.registry``: see main.py."""

from __future__ import annotations

import sys

from corten.registry.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
