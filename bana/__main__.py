"""`python -m bana`: the command `bana`, wherever its script is not on the path."""

import sys

from bana.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
