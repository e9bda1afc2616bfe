"""`rqreg exporter`: what it reads, its metrics, and its HTTP server."""
