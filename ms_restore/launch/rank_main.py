"""What each rank runs: ``ms-restore train``, as the script that msrun asks for."""

import sys

from ms_restore.cli import main

main(["train", *sys.argv[1:]])
