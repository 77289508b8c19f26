"""The same as ``ms-restore eval``."""

import sys

from ms_restore.cli import main

if __name__ == "__main__":
    main(["eval", *sys.argv[1:]])
