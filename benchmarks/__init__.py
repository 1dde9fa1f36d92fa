"""Measurements of a running server: `make bench`."""
