"""The same as ``ms-restore infer``."""

import sys

from ms_restore.cli import main

if __name__ == "__main__":
    main(["infer", *sys.argv[1:]])
