"""Running a trained network on pictures: engines, and the restorer that prepares their input."""
