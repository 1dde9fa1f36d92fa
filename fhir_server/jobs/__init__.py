"""Durable jobs and the FHIR Asynchronous Request pattern."""
