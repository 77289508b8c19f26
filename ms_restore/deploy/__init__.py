"""Writing networks for deployment; every file is loaded back and compared with the checkpoint."""
