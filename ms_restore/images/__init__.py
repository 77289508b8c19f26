"""Pixels in files and arrays: reading, writing, colour conversion, resizing and raw mosaics."""
