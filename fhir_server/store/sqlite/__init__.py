"""The embedded store: SQLite in WAL mode with one group-committing writer."""
