"""Starting several ranks: by an HCCL rank table on Ascend, or by msrun anywhere."""
