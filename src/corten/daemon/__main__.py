"""``python -m corten.daemon``: where no ``cortend`` is installed beside the interpreter."""

from __future__ import annotations

import sys

from corten.daemon.main import main

if __name__ == "__main__":
    sys.exit(main())
