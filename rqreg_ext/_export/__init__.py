"""Jobs in files, and back into Redis: export() and restore()."""
