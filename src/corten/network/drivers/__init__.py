"""One file a network driver; ``base.py`` is the interface and the table of all of them."""
