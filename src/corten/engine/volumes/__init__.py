"""The engine's volumes: Docker's rules over the mechanisms below."""
