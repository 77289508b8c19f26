"""Reading MindRecord sets that ``prepare`` wrote: images, training patches and raw frames."""
