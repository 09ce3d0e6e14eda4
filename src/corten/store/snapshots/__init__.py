"""Snapshots: states of a file system, each on top of a committed parent, and the mounts that show them.

Read base.py for the interface, overlay.py for the default driver, records.py for what is in the database.
"""
