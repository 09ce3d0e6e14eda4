"""Commands of ``corten image``."""
