"""Closing descriptors that may be the last of a file system: the kernel then writes out what it holds.

Owns: the threads that wait for that.  With many containers ending at a time it is milliseconds for each, and the loop
had nothing else to do meanwhile.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

_threads = ThreadPoolExecutor(4, "closing")


def close(fd: int) -> asyncio.Future[None]:
    """Close it; done when the kernel is."""
    return asyncio.get_running_loop().run_in_executor(_threads, os.close, fd)
