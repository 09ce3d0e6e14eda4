"""Test rigs: real daemons and registries of ours, started and stopped by tests."""
