"""Start the demo: `python -m demo` in examples/, or `make demo`."""

import sys

from . import interruption

if __name__ == '__main__':
    # Before the imports that take a moment: from here on Ctrl-C ends the demo in good order.
    interruption.install()
    from .demonstration import main

    sys.exit(main())
