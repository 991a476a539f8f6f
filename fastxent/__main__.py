"""``python -m fastxent COMMAND``."""

import sys

from fastxent._cli import main

if __name__ == "__main__":
    sys.exit(main())
