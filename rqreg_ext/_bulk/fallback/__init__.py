"""One job with RQ's own code, for what a script cannot decide.

RQ's remove() and requeue() send several commands, so a process that is killed in between leaves a job half done. If the
installed RQ is a known release, its methods write into one transaction (in_transaction.py); otherwise they are called
as they are (by_method.py).
"""
