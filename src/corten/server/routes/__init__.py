"""Handlers of the Engine API, a module a noun: each parses, calls the engine and prints.

A module lists what it serves in ``HANDLERS``: the name of a row of ``api/routes.py`` to a coroutine.
"""
