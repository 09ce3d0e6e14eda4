"""Containers that an external OCI runtime runs (runc, crun): the shim stays their parent, the runtime makes processes.

The engine writes the bundle as for our own runtime, and names the other one in shim.json.  The creator has creation.py
mount the root where nobody else sees it, and call ``create`` and ``start``.  The shim has guest.py call ``exec`` (by
joining.py), ``kill``, and ``delete`` at the end; streams, log, limits and exit record stay its own.  config.py and
filters.py write out what our spec leaves implicit (pure); command.py and desk.py are how a runtime is spoken to.
"""
