"""What ``doctor`` examines: the environment, a folder of data, a checkpoint."""
