"""Side by side with dockerd: the same real clients, the same machine, one run.  ``python -m bench --help``."""
