"""What a build is sent: ignore.py decides which files, archive.py makes the stream, source.py reads the words."""
