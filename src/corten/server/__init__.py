"""HTTP of the Engine API: requests in, engine calls, answers out.  Holds no decisions of its own."""
