"""Launching of several ranks, by an HCCL rank table on Ascend or by msrun anywhere."""
