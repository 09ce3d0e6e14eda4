"""Base images from this machine's own sources: debian.py through mmdebstrap, busybox.py from busybox-static."""
