"""The same as ``ms-restore export``."""

import sys

from ms_restore.cli import main

if __name__ == "__main__":
    main(["export", *sys.argv[1:]])
