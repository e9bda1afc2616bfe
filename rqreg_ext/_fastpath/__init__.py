"""The Python half of the core in C: dispatch, exchange, clients, clean-up, and the table of RQ releases."""
