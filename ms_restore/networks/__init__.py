"""Networks: one ``nn.Cell`` a file, importing nothing else of this package; see ``contracts``."""
