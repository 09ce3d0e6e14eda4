"""A bundle becomes processes: zygote, shim, init, exec.  Standard library, ``kernel`` and ``spec`` only.

What forks is small and has one thread: no asyncio, threading, subprocess or logging here, and no import after a fork.
Start reading at ``protocol.py`` (who says what to whom), then ``zygote.py``, ``shim.py``, ``init.py``.
"""
