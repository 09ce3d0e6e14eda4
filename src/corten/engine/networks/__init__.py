"""The engine's networks: Docker's rules over the mechanisms below."""
