"""Bulk load: files in groups into a store, straight or through the door of a server that runs; resumable."""
