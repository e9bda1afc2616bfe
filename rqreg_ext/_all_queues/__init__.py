"""The functions for many queues of a Redis: changes, checks, listings, snapshots, export and restore."""
