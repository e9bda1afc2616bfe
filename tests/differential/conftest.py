"""How many random examples run for each class, by RQREG_TEST_PROFILE."""

from __future__ import annotations

import pytest
from depth import PROFILE
from hypothesis import HealthCheck, settings

for name, examples in (('default', 200), ('whole', 500), ('deep', 5000)):
    settings.register_profile(
        name,
        max_examples=examples,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
settings.load_profile(PROFILE)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the jobs' webhooks fail on this machine, never at a proxy."""
    monkeypatch.setenv('no_proxy', '*')
