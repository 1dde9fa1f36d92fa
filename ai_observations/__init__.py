"""Imaging models and what they find, as Observations with device and provenance."""
