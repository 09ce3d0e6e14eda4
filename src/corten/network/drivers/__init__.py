"""One file a network driver; ``base.py`` is the interface, ``table.py`` names them all."""
