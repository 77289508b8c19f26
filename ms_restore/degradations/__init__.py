"""Degradations, which make the degraded image y from the clean image x; see ``contracts``."""
