"""Our own registry server: the OCI distribution API over files or object storage.

    app.py            one request: route, authenticate, answer, count
    blobs uploads manifests tags referrers      a file for each noun of the API
    repositories.py   what the store holds, drawn; every rule about references
    storage/          the bytes: base.py (the interface), files.py, s3.py
    auth access passwords tokens                who may do what
    collect.py        garbage collection while serving
    main.py           the program: python -m corten.registry

It stands alone: it imports spec and errors, and nothing of the engine.
"""
