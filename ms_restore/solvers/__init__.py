"""Restoration without training for the task: a solver, a degradation operator and a prior."""
