"""What Linux says: system calls and kernel constants under their own names, failing with ``OSError`` only.

No policy, no container, no asyncio.  ``libc.py`` declares every foreign call once.
"""
