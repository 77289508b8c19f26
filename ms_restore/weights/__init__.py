"""Checkpoints: weights that carry their recipe, loaded strictly."""
