"""The one door: every FHIR interaction, one file each (FHIR R4 http.html)."""
