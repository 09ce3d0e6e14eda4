"""The builder: a Dockerfile and a context become an image.

Read dockerfile/ (text to instructions), then lower.py (instructions to vertices), solve.py (vertices to snapshots).
What the builder needs of the rest of Corten is declared in ports.py and handed in by engine/builds.
"""
