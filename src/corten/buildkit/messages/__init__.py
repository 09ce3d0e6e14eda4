"""The messages of BuildKit's services, as tables of numbered fields (wire.py); one module a service."""
