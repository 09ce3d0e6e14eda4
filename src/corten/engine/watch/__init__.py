"""Following images: containers that are replaced when their tag moves.  Read decision.py, then replace.py."""
