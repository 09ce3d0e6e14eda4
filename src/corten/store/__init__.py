"""The store: content by digest, snapshots, image records and facts, all under one data root.

Knows nothing of Docker, of containers or of registries.  Read layout.py for where things are, db.py for the schema,
snapshots/base.py for file systems, layers/ for tars.
"""
