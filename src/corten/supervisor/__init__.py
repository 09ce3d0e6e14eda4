"""The daemon's side of the runtime: asyncio, descriptors, recovery.  The only package that may import ``runtime``.

Read ``model.py`` for the values, ``service.py`` for the two classes that the engine uses.
"""
