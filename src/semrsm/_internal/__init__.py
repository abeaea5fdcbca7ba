"""Shared by several packages: arrays, threads, files, units, statistics and checks."""
