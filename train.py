"""The same as ``ms-restore train``."""

import sys

from ms_restore.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
