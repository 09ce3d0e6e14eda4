"""Commands of ``corten volume``."""
