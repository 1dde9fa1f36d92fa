"""The storage ports and, below them, their adapters."""
