"""A black-box suite of FHIR R4 for any server: python -m conformance.suite URL (FHIR R4 http.html)."""
