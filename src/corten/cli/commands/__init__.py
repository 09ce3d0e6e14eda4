"""One verb, one file.  Each states a ``COMMAND``; catalog.py names them all."""
