"""What several rooms use: arrays, threads, files, units, statistics and checks."""
