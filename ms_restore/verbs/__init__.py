"""What the command line does, a module each verb; ``ms_restore.api`` has them all."""
