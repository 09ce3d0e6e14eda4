"""gRPC over HTTP/2 (the h2 library) on a connection that is open already, as server and as client."""
