"""Search modifiers, one declaration a file (FHIR R4 search.html#modifiers)."""
