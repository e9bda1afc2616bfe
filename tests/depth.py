"""How long the tests are to take, which RQREG_TEST_PROFILE says.

`default` is for each change, `whole` has every combination and is for the night, `deep` also has what takes minutes.
"""

from __future__ import annotations

import os

PROFILE = os.environ.get('RQREG_TEST_PROFILE', 'default')
IS_DEEP = PROFILE == 'deep'
IS_WHOLE = PROFILE in ('whole', 'deep')
