"""The Dockerfile language, pure: lines.py, parser.py, instructions.py, words.py, ignore.py, lint.py.  No I/O here."""
