"""Where a registry keeps its bytes.  The interface is in base.py; each driver is a file beside it."""
