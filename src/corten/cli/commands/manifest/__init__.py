"""Commands of ``corten manifest``."""
