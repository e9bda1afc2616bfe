"""Registry methods that change many jobs in one call: remove_many, purge, requeue_many, requeue_all, cancel_many."""
