"""Fuzzing of what the core makes of bytes: `python -m fuzz`."""
