"""What a FHIR R4 resource is: parsing, datatypes, definitions, outcomes. Pure."""
