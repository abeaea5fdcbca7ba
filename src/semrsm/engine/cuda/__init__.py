"""Matching on NVIDIA GPUs: the kernel of the assignments, and the engine that feeds it."""
