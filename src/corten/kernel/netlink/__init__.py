"""Netlink without libraries: ``codec.py`` (bytes), ``route.py`` and ``netfilter.py`` (words), ``socket.py`` (talk)."""
