"""Layers: tars of changes, read into directories and written from them.

    stream.py    bytes in: decompressed and hashed on a thread of their own
    header.py    one 512-byte block <-> fields;  pax.py  extended headers, sparse maps
    reader.py    a stream of bytes -> entries
    target.py    a directory that nothing gets out of
    apply.py     a tar -> the directory of a snapshot
    writer.py    entries -> a stream of bytes
    pack.py      the directory of a snapshot -> a tar
    recipe.py    how to print an applied tar's exact bytes again
    changes.py   what a directory changes, for people

These run in worker processes (workers.py), small ones in the daemon itself.  They know nothing of images or snapshots'
records.
"""
