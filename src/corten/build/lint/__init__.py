"""Docker's build checks: ``build --check`` and the warnings of every build.  check.py is the door."""
