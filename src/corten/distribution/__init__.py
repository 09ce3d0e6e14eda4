"""The registry client: what is pulled from and pushed to any OCI registry.

    client.py       Distribution: the operations, each a line or two
    manifests.py    resolve, fetch and put manifests and indexes
    pull.py         an image's config and layers, in parallel; download.py one blob, resumed and verified
    push.py         an image's blobs and manifest; upload.py one blob
    transport.py    one request: host, TLS, credentials, retries, faults in Docker's words
    hosts.py        which hosts serve a registry: mirrors, plain HTTP, certificates (pure)

It keeps nothing: blobs go to the content store that the caller hands in.
"""
