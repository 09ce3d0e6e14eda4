"""Containers as Docker's users know them: created, started, stopped, inspected, removed.

Read ``service.py`` for the operations, ``model.py`` for the record, ``lower.py`` for what a record means to Linux.
"""
