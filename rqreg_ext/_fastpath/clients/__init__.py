"""What a client is, how it may be used, and the core's connections beside its own."""
