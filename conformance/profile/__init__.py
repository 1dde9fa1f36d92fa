"""Profiles: snapshots, slicing, and the checks compiled from them (FHIR R4 profiling.html)."""
