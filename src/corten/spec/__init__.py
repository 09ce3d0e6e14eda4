"""What the standards say: digests, references, descriptors, platforms, manifests, image configs.

Pure values: parse() makes them valid, str()/to_bytes() prints them back.  Knows nothing of Docker, disks or
networks.  Read next: digest.py, reference.py, image.py.
"""
