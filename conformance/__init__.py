"""What is right and what we claim: validation and the CapabilityStatement."""
