"""The protocol that brings directories from a client and to it."""
