"""`rqreg top`: a live view.

Threads (`threads`) read the data (`read`, `data`) and do what keys ask for (`act`). Keys (`keys`) change the state
(`state`), of which `draw` makes the lines of the screen; `loop` waits for all of that, and has the terminal (`screen`).
"""

from .command import top

__all__ = ['top']
