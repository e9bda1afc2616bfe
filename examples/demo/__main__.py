"""Start the demo: `python -m demo` in examples/, or `make demo`."""

import sys

from . import interruption

if __name__ == '__main__':
    # Before the slow imports, so that Ctrl-C ends the demo cleanly from here on.
    interruption.install()
    from .demonstration import main

    sys.exit(main())
