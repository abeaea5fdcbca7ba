"""Helpers that several packages share: arrays, threads, files, units, statistics and checks."""
