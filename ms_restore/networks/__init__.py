"""Networks, each an ``nn.Cell`` in a file of its own; see ``contracts``."""
