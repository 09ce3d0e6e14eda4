"""The program ``cortend``: configuration, listeners, and the one place where all objects are built."""
