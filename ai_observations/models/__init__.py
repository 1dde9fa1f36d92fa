"""Imaging models, one declaration a file."""
