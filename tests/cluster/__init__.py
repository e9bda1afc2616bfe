"""A real Redis Cluster: what RQ and the package do on it, also while its layout changes and its nodes fail."""

import pytest

pytest.register_assert_rewrite('cluster.state', 'cluster.disturbing')
