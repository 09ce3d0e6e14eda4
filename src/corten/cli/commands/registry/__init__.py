"""Commands of ``corten registry``."""
