"""The engine's builds: Docker's rules over the mechanisms below."""
