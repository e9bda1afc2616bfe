"""How many random examples run for each class: RQREG_TEST_PROFILE is `default`, or `deep` for ten times as many."""

from __future__ import annotations

import pytest
from depth import PROFILE
from hypothesis import HealthCheck, settings

EXAMPLES = 500

for name, factor in (('default', 1), ('deep', 10)):
    settings.register_profile(
        name,
        max_examples=EXAMPLES * factor,
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
