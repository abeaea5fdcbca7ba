"""Conformance of features: every family of networks of three libraries."""
