"""Data that outlives containers.  Read ``model.py``, then ``service.py``."""
