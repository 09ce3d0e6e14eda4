"""Commands of ``corten network``."""
