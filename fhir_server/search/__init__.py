"""Search machinery: parse, plan, index values and the reference meaning (FHIR R4 search.html)."""
