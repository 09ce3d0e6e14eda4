"""From the words of ``run`` and ``create`` to the body of POST /containers/create.

flags.py is the table; body.py puts the parts together, each of which is a file here, pure but for files that a flag
names.  Nothing here talks to the daemon.
"""
