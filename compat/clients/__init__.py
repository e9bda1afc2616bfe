"""Programs of others that use RQ, unmodified: the same answers and the same keys in Redis on plain RQ and on ours."""

import sys

from compat.environments import ROOT

# For the private Redis.
sys.path.insert(0, str(ROOT / 'tools'))
