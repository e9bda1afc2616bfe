"""The functions for many queues of a Redis: purge, requeue_all, check, repair, snapshot, batch."""
