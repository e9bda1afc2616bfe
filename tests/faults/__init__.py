"""Networks and servers that fail, refuse commands, stall, or send invalid replies."""

import pytest

pytest.register_assert_rewrite('faults.calls')
