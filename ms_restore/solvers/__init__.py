"""Restoration without training for the task, by a solver, a degradation operator and a prior."""
