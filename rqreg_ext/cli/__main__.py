"""`python -m rqreg_ext.cli`: the command `rqreg`."""

import sys

from . import main

if __name__ == '__main__':
    sys.exit(main())
