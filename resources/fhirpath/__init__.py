"""FHIRPath: parser and compiler to closures."""
