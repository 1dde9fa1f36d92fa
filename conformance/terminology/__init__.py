"""Terminology: code systems, their hierarchies, value sets (FHIR R4 terminology-module.html)."""
