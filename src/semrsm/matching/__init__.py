"""How the concept vectors of two images are paired, with one matcher per file."""
