"""The program ``corten``: Docker's commands, flags, columns, formats and exit codes, over the Engine API.

main.py finds the command in catalog.py and imports only its module from commands/ (one verb, one file, which states
its usage and flags in a table).  Nothing here may import the daemon's half, nor, on the way to a listing, anything
slow: dataclasses, argparse, subprocess, urllib.
"""
