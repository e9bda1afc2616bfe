"""Clients of every kind, and servers that refuse, fail and come back."""

import pytest

pytest.register_assert_rewrite('clients.tour', 'clients.connections')
