"""How long the tests are to take: RQREG_TEST_PROFILE is `default`, or `deep` for what takes minutes."""

from __future__ import annotations

import os

PROFILE = os.environ.get('RQREG_TEST_PROFILE', 'default')
IS_DEEP = PROFILE == 'deep'
