"""RQ's answers and those of rqreg_ext side by side: `make demo`."""
