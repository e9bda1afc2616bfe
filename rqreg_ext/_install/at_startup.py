"""Called when an interpreter starts: by rqreg_ext.start, or before CPython 3.15 by rqreg_ext.pth.

Every interpreter of the environment reads one of these files at its start. Without RQREG_EXT_INSTALL, the line in
rqreg_ext.pth only reads the environment, which takes less than 0.1 ms, and imports nothing; rqreg_ext.start imports
this module and import_hook, which takes a few tenths of a millisecond (benchmarks/startup.py measures it). With
RQREG_EXT_INSTALL=1, both do that, and add an import hook. Until the program imports rq, the first import of each module
costs one more function call. Everything else is loaded when the program imports rq.
"""

from __future__ import annotations

from . import import_hook


def start() -> None:
    """Do what rqreg_ext.pth does: arrange for the installation if RQREG_EXT_INSTALL asks for it."""
    if import_hook.is_requested():
        wait_for_rq()


def wait_for_rq() -> None:
    """Arrange for the installation when rq is imported."""
    import_hook.wait_for_rq(_install)


def _install() -> None:
    # Imported here for start-up time: most interpreters never import rq.
    from .installation import install_in_rq

    install_in_rq()
