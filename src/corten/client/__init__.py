"""The user's half below the commands: finding the daemon, talking HTTP/1.1 to it, reading the user's configuration.

Owns: transport and credentials.  Knows nothing of flags, tables or terminals (cli/), nothing of the daemon's insides.
Uses the standard library only and imports little of it: ``corten ps`` has to start in a few tens of milliseconds,
so values are ``NamedTuple``s here (``dataclasses`` costs 18 ms to import) and ssl, subprocess and the like are
imported by the function that needs them.  Read next: session.py.
"""
