"""Matrices of images by images, in memory or on disk, and how they are compared."""
