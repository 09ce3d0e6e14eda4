"""Commands of ``corten system``."""
