"""Commands of ``corten container``."""
