"""The most similar images of a gallery: exact, indexed, approximate."""
