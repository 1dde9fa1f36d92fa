"""A client of Bulk Data Access servers: https://hl7.org/fhir/uv/bulkdata/"""
