"""RQ and rqreg_ext side by side: equal databases, equal calls, and every difference is an error."""
