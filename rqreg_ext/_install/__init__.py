"""install(): replacing RQ's registry classes by ours in the modules of a program."""
