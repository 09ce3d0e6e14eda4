"""Commands of ``corten builder``."""
