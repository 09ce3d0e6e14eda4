"""What Docker says on the wire: versions, routes, filters, framing, faults.  No server, no client, no I/O."""
