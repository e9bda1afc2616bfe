"""Networks and servers that fail, refuse, stall and lie, in front of or instead of real ones."""

import pytest

pytest.register_assert_rewrite('faults.calls')
