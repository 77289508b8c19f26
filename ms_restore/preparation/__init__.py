"""Writing MindRecord sets from images, HDF5, NIfTI volumes, pickles and raw files."""
