"""BuildKit's API: gRPC over a hijacked connection, the sessions that clients serve, the control and gateway services.

Knows how clients speak (wire.py, messages/, grpc/), how files come and go (filesync/), who asks for what (control.py,
gateway.py) and how progress is told (board.py).  Does not know how to build: service.py names what it needs of whoever
does; engine/builds/buildkit/ supplies it.
"""
