"""Training: one loop for all networks; loss, data and step are passed in."""
