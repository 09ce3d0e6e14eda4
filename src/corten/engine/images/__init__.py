"""The engine's images: Docker's rules over the mechanisms below."""
