"""The Python half of the core in C: clients, exchange, dispatch, clean-up, and the table of RQ releases."""
