"""The server: interactions, search, stores, and the edges: HTTP, MLLP and the command line."""
