"""What a client is, how it may be used, and the core's own connections for it."""
