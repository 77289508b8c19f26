"""``python -m ms_restore``."""

from ms_restore.cli import main

main()
