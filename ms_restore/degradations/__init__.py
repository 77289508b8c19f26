"""Degradations: how the degraded image y is made from the clean image x; see ``contracts``."""
