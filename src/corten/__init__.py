"""Corten: a container platform that speaks Docker's language.  Only the version is here: the zygote imports it."""

__version__ = "0.1.0"
