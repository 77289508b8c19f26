"""Pictures in files and pixels in arrays: reading, writing, colour, resizing, mosaics."""
