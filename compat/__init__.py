"""Other people's programs and tests on plain RQ and on ours, compared: `python -m compat`."""
