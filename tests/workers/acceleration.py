"""Whether this process works on RQ's registries or on ours, told by the classes themselves."""

from __future__ import annotations

import rq.registry

CORE = 'rqreg_ext._core'


def is_accelerated() -> bool:
    return any(base.__module__ == CORE for base in rq.registry.FailedJobRegistry.__mro__)
