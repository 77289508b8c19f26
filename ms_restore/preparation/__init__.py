"""Preparation of MindRecord sets from images, HDF5 files, NIfTI volumes, pickles and raw files."""
