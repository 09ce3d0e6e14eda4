"""Corten: a container platform that speaks Docker's language.  Holds the version and nothing else (the zygote imports it)."""

__version__ = "0.1.0"
