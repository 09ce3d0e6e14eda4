"""Commands of ``corten context``."""
