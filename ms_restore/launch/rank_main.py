"""Script that each rank of msrun runs, as msrun needs a file: ``ms-restore train``."""

import sys

from ms_restore.cli import main

main(["train", *sys.argv[1:]])
