"""Restoring pictures of any size with trained networks."""
