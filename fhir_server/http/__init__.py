"""The HTTP edge: Starlette requests in, FHIR responses out (FHIR R4 http.html)."""
