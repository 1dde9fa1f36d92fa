"""Bulk data: what an export reads, and the files that it writes."""
