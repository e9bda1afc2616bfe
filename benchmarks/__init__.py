"""RQ, code written by hand, rqreg_ext and a bare round trip, measured side by side: `python -m benchmarks`."""
