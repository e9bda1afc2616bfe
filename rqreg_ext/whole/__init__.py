"""What RQ's registries cannot do: a registry as a whole, in few round trips.

Each concept has a class of methods in a module of its own; WholeRegistry has all of them.
"""

from __future__ import annotations

from .changing import Changing
from .finding import Finding
from .reading import Reading
from .truth import Truth


class WholeRegistry(Reading, Finding, Changing, Truth):
    """The calls on a whole registry that every registry has. An RQ that has one of these names has it its way."""
