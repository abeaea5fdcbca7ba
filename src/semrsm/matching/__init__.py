"""How the concept vectors of two images are paired: one matcher a file."""
