"""Whole programs on plain RQ and on our registries, measured side by side: `python -m benchmarks.programs`."""

import sys
from pathlib import Path

# For the private Redis.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'tools'))
