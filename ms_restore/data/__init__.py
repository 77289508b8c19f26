"""Images in and out, the sources that training and evaluation read, and training batches."""
