"""Restoration of pictures of any size with trained networks."""
