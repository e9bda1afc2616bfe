"""The Python half of the core in C: dispatch, exchange, clients, cleanup, and the table of RQ releases."""
