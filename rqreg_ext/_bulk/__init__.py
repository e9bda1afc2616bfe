"""Registry methods that change many jobs in one call: purge(), requeue_all() and the like."""
