"""What ``corten build`` does beside sending a context: parts, progress, findings, outputs, a shell where it failed."""
