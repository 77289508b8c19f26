"""Sources of clean images and training patches, and the batches made of them."""
