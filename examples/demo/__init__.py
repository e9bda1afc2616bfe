"""The demo: RQ's answers and those of rqreg_ext side by side. Run it with `make demo`."""
